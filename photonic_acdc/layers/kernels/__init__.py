"""How cascades are computed: one plain way, the oracle, and faster ones that equal it.

| name | what it does | taken by ``"auto"`` |
|---|---|---|
| ``plain`` | one transform and one product after the other, through autograd | in compiled code, under ``torch.func`` |
| ``fused`` | all stages on blocks of rows that stay in cache; keeps one field a stage | by default |
| ``reversible`` | as fused; recomputes every field from the output: memory independent of depth | never: ask |
| ``dense`` | multiplies the cascade out once a call and applies the matrix | for many rows of few features |

Deep cascades are bound by memory traffic, not by arithmetic: a block of :data:`BLOCK_BYTES` runs through all stages
before the next one is touched.
"""

from photonic_acdc.layers.kernels.choice import KERNELS, Kernel, choose

__all__ = ["KERNELS", "Kernel", "choose"]
