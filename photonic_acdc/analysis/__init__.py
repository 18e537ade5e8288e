"""How good is it, how sure, and which device is to blame: labelled results (``xarray``), no pictures.

| file | holds |
|---|---|
| ``tiles`` | the unit of every evaluation: one realisation, one aligned block of samples, one thread |
| ``monte_carlo`` | accuracy over virtual benches; against the light that goes in |
| ``budget`` | leave one effect out, and one effect alone |
| ``diagnosis`` | which effects training can compensate, and which it cannot |
| ``planes`` | the field, plane by plane |
"""

from photonic_acdc.analysis.budget import error_budget
from photonic_acdc.analysis.diagnosis import diagnose
from photonic_acdc.analysis.monte_carlo import monte_carlo, photon_sweep, summary
from photonic_acdc.analysis.planes import field_planes

__all__ = ["diagnose", "error_budget", "field_planes", "monte_carlo", "photon_sweep", "summary"]
