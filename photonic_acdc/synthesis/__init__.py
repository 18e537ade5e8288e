"""A matrix becomes the masks of a lens cascade that performs it.

| file | holds |
|---|---|
| ``synthesise``, ``choose``, ``check`` | :func:`synthesise`, the front door; which method, and why; what may be asked |
| ``plan`` | :class:`Synthesis`: masks, error, gain; as a layer, on a bench, in a file |
| ``lenses``, ``good_thomas`` | masks with a lens behind each; 1-D transforms on 2-D lenses |
| ``exact``, ``compact`` | closed forms: unitary, singular values, dilation; the 2N + 5 phase masks they stand on |
| ``circulant`` | 2N - 1 diagonals and circulants |
| ``fitted``, ``fit``, ``phases`` | methods that search; fewest phase masks by least squares, and its derivatives |
| ``wavefront``, ``counting`` | one mask after the other; how many masks counting allows |
| ``trade`` | :func:`~photonic_acdc.synthesis.trade.planes_vs_error`: error against masks and gain |
| ``refining``, ``machine`` | :func:`refine`: masks fitted to a bench; a bench as the matrix it performs |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from photonic_acdc.synthesis.plan import Synthesis, SynthesisWarning
from photonic_acdc.synthesis.synthesise import synthesise

if TYPE_CHECKING:
    from photonic_acdc.synthesis.refining import Refined, refine

__all__ = ["Refined", "Synthesis", "SynthesisWarning", "refine", "synthesise"]


def __getattr__(name: str) -> Any:
    # What stands on benches is loaded where it is asked for: masks on paper need none.
    if name in ("Refined", "refine"):
        from photonic_acdc.synthesis import refining

        return getattr(refining, name)
    raise AttributeError(f"module 'photonic_acdc.synthesis' has no attribute {name!r}")
