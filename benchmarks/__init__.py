"""Our speed beside the plain way and beside the limit, in one run: ``python -m benchmarks NAME [--quick] [--json]``."""
