"""Light sampled on planes: from one plane to the next through free space and lenses.

Every operator is built once for its grids, holds its kernels, takes fields ``[..., y, x]`` and has an ``adjoint``. A
figure that is to be learned is passed as a tensor that wants a gradient; its operator is built anew every step.
Fields are densities: power is Σ|E|²ΔxΔy (:meth:`simulators.grid.Grid.power`).

| module | holds |
|---|---|
| ``axis`` | the Fourier transform along one axis: FFT, matrix, chirp-z, and which to take |
| ``transform`` | :class:`FourierTransform` between two grids; :class:`Collins`, any paraxial system |
| ``space`` | :func:`free_space`: :class:`AngularSpectrum`, :class:`Fresnel`, :class:`FresnelTransform` |
| ``pupil`` | apertures with their edges averaged over each sample |
| ``two_f`` | :class:`TwoF`: a lens with an edge and errors between two planes |
"""

from simulators.propagation.pupil import aperture
from simulators.propagation.space import AngularSpectrum, Fresnel, FresnelTransform, free_space, safe_distance
from simulators.propagation.transform import Collins, FourierTransform
from simulators.propagation.two_f import TwoF

__all__ = [
    "AngularSpectrum",
    "Collins",
    "FourierTransform",
    "Fresnel",
    "FresnelTransform",
    "TwoF",
    "aperture",
    "free_space",
    "safe_distance",
]
