"""How fast and how good, beside the plain way, other packages and the limit, in one run.

``python -m benchmarks NAME [--quick] [--json] [--output DIR]``; results: ``docs/benchmarks.md``.
"""
