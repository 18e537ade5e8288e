r"""Free space between two parallel planes, exactly and paraxially.

Fields are given relative to the plane wave along the axis: the constant phase :math:`e^{ikz}` is left out.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from typing import Literal

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from simulators.errors import InputError, SamplingWarning
from simulators.grid import Grid
from simulators.propagation.axis import Figure, exact, learned, number, phasor
from simulators.propagation.transform import Collins, check_distance, check_field

#: Phase error of the paraxial approximation, rad, up to which ``free_space`` takes it.
PARAXIAL_ERROR = 0.1


class _Transfer(ABC):
    """Propagation to a plane of the same samples by the spectrum of plane waves, with zeros around the field."""

    def __init__(self, grid: Grid, wavelength: Figure, distance: Figure, padding: float | None):
        if not number(wavelength) > 0:
            raise InputError("wavelength", value=f"{number(wavelength):g} m", allowed="a positive length")
        if not math.isfinite(number(distance)):
            raise InputError("distance", value=f"{number(distance):g} m", allowed="a finite length")
        if padding is not None and padding <= 1:
            raise InputError("padding", value=padding, allowed="more than 1", remedy="None for a periodic field")
        self.grid_in = self.grid_out = grid
        self._wavelength, self._distance = exact(wavelength), exact(distance)
        factor = padding or 1.0
        points = [1 if n == 1 else n if padding is None else _fast(math.ceil(factor * n)) for n in grid.shape]
        self._padded = Grid((points[0], points[1]), grid.pitch)
        #: How far light may walk before it comes back from the other side, m; None: it is meant to.
        self._room = [
            None if padding is None or n == 1 else (self._padded.shape[i] - n) * grid.pitch[i]
            for i, n in enumerate(grid.shape)
        ]
        self.plan = f"{type(self).__name__} on {points[0]} × {points[1]} samples"
        self._kept: dict[tuple[torch.dtype, torch.device], tuple[Tensor, ...]] = {}

    def __call__(self, field: Tensor) -> Tensor:
        """The field behind, ``[..., y, x]``."""
        return self._apply(field, adjoint=False)

    def adjoint(self, field: Tensor) -> Tensor:
        """The adjoint, with respect to power; the inverse as far as no light is lost."""
        return self._apply(field, adjoint=True)

    def _apply(self, field: Tensor, *, adjoint: bool) -> Tensor:
        check_field(field, self.grid_in)
        y, x = self.grid_in.shape
        spectrum = torch.fft.fft2(field, s=self._padded.shape)
        for kernel in self._kernels(field):
            spectrum = spectrum * (kernel.conj() if adjoint else kernel)
        return torch.fft.ifft2(spectrum)[..., :y, :x]

    def _kernels(self, field: Tensor) -> tuple[Tensor, ...]:
        if learned(self._wavelength, self._distance):
            return tuple(kernel.to(field) for kernel in self._build())
        key = (field.dtype, field.device)
        if key not in self._kept:
            with torch.inference_mode(False), torch.no_grad():
                self._kept[key] = tuple(kernel.to(field) for kernel in self._build())
        return self._kept[key]

    @abstractmethod
    def _build(self) -> tuple[Tensor, ...]:
        """The transfer function's factors, along whichever axes they vary."""

    def _warn(self, walks: list[float], limits: list[float], safe: float) -> None:
        """Warn where the steepest light ``walks`` (m, an axis) further than there is room: cut at ``limits`` (1/m)."""
        for i, name in enumerate("yx"):
            pitch, room = self.grid_in.pitch[i], self._room[i]
            if room is None or walks[i] <= room * (1 + 1e-9):
                continue
            wavelength, distance = number(self._wavelength), abs(number(self._distance))
            warnings.warn(
                SamplingWarning(
                    f"along {name}, light steeper than {wavelength * limits[i] * 1e3:.3g} mrad leaves the window "
                    f"within {distance * 1e3:.4g} mm and is cut off; samples of {pitch * 1e6:.4g} µm carry up to "
                    f"{min(wavelength / 2 / pitch, 1.0) * 1e3:.3g} mrad: safe up to {safe * 1e3:.4g} mm, with "
                    f"padding={1 + walks[i] / self.grid_in.extent[i]:.3g}, or by a Fresnel transform"
                ),
                stacklevel=4,
            )


class AngularSpectrum(_Transfer):
    r"""Free space by the spectrum of plane waves: exact at any angle.

    .. math:: E'(x) = \mathcal F^{-1}\bigl[\mathcal F[E]\,e^{ikz(\sqrt{1-\lambda^2\nu^2} - 1)}\bigr]

    Waves that leave the padded window on the way would come back from its other side; they are cut off by

    .. math:: \lambda^2\nu_x^2\,(1 + z^2/d^2) + \lambda^2\nu_y^2 \le 1

    and the like in y, where d is the room beside the field: for ``padding=2`` the limit of the source. Evanescent waves
    decay, in either direction.

    Args:
        grid: samples in front and behind.
        wavelength: λ, m; a tensor of one number may be learned.
        distance: z, m; likewise. Negative: back, which undoes z.
        padding: window over field, > 1; None: the field is periodic, nothing is cut off.

    Raises:
        InputError: a figure out of range.

    Warns:
        SamplingWarning: light that the samples carry leaves the window and is cut off.

    Source: Matsushima & Shimobaba, Opt. Express 17, 19662 (2009). Not modelled: polarisation.
    """

    def __init__(self, grid: Grid, wavelength: Figure, distance: Figure, *, padding: float | None = 2.0):
        super().__init__(grid, wavelength, distance, padding)
        slopes = [min(number(wavelength) / 2 / pitch, 1.0) for pitch in grid.pitch]
        walks = [abs(number(distance)) * s / math.sqrt(1 - s * s) if s < 1 else math.inf for s in slopes]
        limits = [
            math.inf if room is None else 1 / (number(wavelength) * math.hypot(1, number(distance) / room))
            for room in self._room
        ]
        self._warn(walks, limits, safe_distance(grid, number(wavelength), padding=padding or 2.0))

    def _build(self) -> tuple[Tensor, ...]:
        wavelength, z = self._wavelength, self._distance
        row = (wavelength * self._padded.frequencies(0))[:, None] ** 2
        column = (wavelength * self._padded.frequencies(1)) ** 2
        slope = row + column  # sin²θ
        travels = slope <= 1
        # Each branch sees only what it can take a root of, or the other's gradient would be nan.
        root = torch.where(travels, 1 - slope, torch.ones_like(slope)).sqrt()
        decay = torch.where(travels, torch.ones_like(slope), slope - 1).sqrt()
        phase = torch.where(travels, -slope * z / (1 + root), torch.zeros_like(slope)) * (2 * math.pi / wavelength)
        size = torch.where(travels, torch.ones_like(slope), torch.exp(-2 * math.pi / wavelength * abs(z) * decay))
        for room, squared, other in ((self._room[0], row, column), (self._room[1], column, row)):
            if room is not None:
                size = size * (squared * (1 + (number(z) / room) ** 2) + other <= 1)
        return (phasor(phase) * size,)


class Fresnel(_Transfer):
    r"""Paraxial free space by its transfer function, for short distances.

    .. math:: E'(x) = \mathcal F^{-1}\bigl[\mathcal F[E]\,e^{-i\pi\lambda z\nu^2}\bigr]

    Light that leaves the padded window on the way, |λzν| > d along an axis, is cut off (d: the room beside the field).

    Args:
        grid: samples in front and behind.
        wavelength: λ, m; a tensor of one number may be learned.
        distance: z, m; likewise. Negative: back, which undoes z.
        padding: window over field, > 1; None: the field is periodic, nothing is cut off.

    Raises:
        InputError: a figure out of range.

    Warns:
        SamplingWarning: light that the samples carry leaves the window and is cut off.

    Source: Goodman, *Introduction to Fourier Optics*, 4.2. Not modelled: the phase :math:`kz\theta^4/8` of steep light.
    """

    def __init__(self, grid: Grid, wavelength: Figure, distance: Figure, *, padding: float | None = 2.0):
        super().__init__(grid, wavelength, distance, padding)
        path = abs(number(wavelength) * number(distance))
        walks = [path / 2 / pitch for pitch in grid.pitch]
        limits = [room / path if room and path else math.inf for room in self._room]
        safe = min((2 * p * room for p, room in zip(grid.pitch, self._room, strict=True) if room), default=math.inf)
        self._warn(walks, limits, safe / number(wavelength))

    def _build(self) -> tuple[Tensor, ...]:
        kernels = []
        for i, room in enumerate(self._room):
            frequency = self._padded.frequencies(i)
            path = self._wavelength * self._distance
            kernel = phasor(-math.pi * path * frequency**2 * torch.ones(()))
            if room is not None:
                kernel = kernel * ((number(path) * frequency).abs() <= room * (1 + 1e-9))
            kernels.append(kernel)
        return kernels[0][:, None], kernels[1]


class FresnelTransform(Collins):
    r"""Paraxial free space by one Fourier transform, to any grid, for long distances.

    .. math:: E'(u) = \frac{1}{i\lambda z}\int E(x)\,e^{i\pi(x-u)^2/(\lambda z)}\,d^2x

    Args:
        grid_in: samples in front.
        grid_out: samples behind.
        wavelength: λ, m; a tensor of one number may be learned.
        distance: z ≠ 0, m; likewise.

    Raises:
        InputError: z = 0.

    Warns:
        SamplingWarning: light from an edge of the one to an edge of the other is steeper than the samples carry.

    Source: Goodman, *Introduction to Fourier Optics*, 4.2. Not modelled: the phase :math:`kz\theta^4/8` of steep light.
    """

    def __init__(self, grid_in: Grid, grid_out: Grid, wavelength: Figure, distance: Figure):
        check_distance("distance", distance)
        super().__init__(grid_in, grid_out, wavelength, 1.0, distance, 1.0)


FreeSpaceMethod = Literal["auto", "angular_spectrum", "fresnel", "fresnel_transform"]


def free_space(
    grid: Grid, wavelength: Figure, distance: Figure, method: FreeSpaceMethod = "auto"
) -> AngularSpectrum | Fresnel | FresnelTransform:
    r"""Free space from ``grid`` to the same samples a distance further.

    The rule: the angular spectrum, as far as no light that the samples carry comes back from the other side of a window
    twice as wide (:func:`safe_distance`); beyond, the Fresnel transform, which needs no window, once its phase error
    :math:`kz\theta^4/8` for light from corner to opposite corner is below 0.1 rad; between the two, the angular
    spectrum with the wider window that it needs.

    Args:
        grid: samples in front and behind.
        wavelength: λ, m; a tensor of one number may be learned.
        distance: z, m; likewise.
        method: "auto", or one of "angular_spectrum", "fresnel" and "fresnel_transform".

    Returns:
        The operator, with ``plan`` and ``adjoint``; kernels are built once and kept.

    Raises:
        InputError: an unknown method or a figure out of range.

    Warns:
        SamplingWarning: a method asked for does not reach so far.

    Source: Matsushima & Shimobaba, Opt. Express 17, 19662 (2009), for the limit.
    """
    if method == "fresnel":
        return Fresnel(grid, wavelength, distance)
    if method == "fresnel_transform":
        return FresnelTransform(grid, grid, wavelength, distance)
    if method not in ("auto", "angular_spectrum"):
        raise InputError("method", value=method, allowed='"auto", "angular_spectrum", "fresnel" or "fresnel_transform"')
    far = abs(number(distance)) > safe_distance(grid, number(wavelength))
    if method == "angular_spectrum" or not far:
        return AngularSpectrum(grid, wavelength, distance)
    z, wave = abs(number(distance)), number(wavelength)
    angle = math.hypot(*(0.0 if n == 1 else w for n, w in zip(grid.shape, grid.extent, strict=True))) / z
    if 2 * math.pi / wave * z * angle**4 / 8 <= PARAXIAL_ERROR:
        return FresnelTransform(grid, grid, wavelength, distance)
    needed = max(
        1 + z * slope / math.sqrt(1 - slope**2) / width
        for n, width, slope in zip(grid.shape, grid.extent, (min(wave / 2 / p, 0.999) for p in grid.pitch), strict=True)
        if n > 1
    )
    return AngularSpectrum(grid, wavelength, distance, padding=needed)


def safe_distance(grid: Grid, wavelength: float, *, padding: float = 2.0) -> float:
    r"""How far the angular spectrum carries all the light of ``grid`` without cutting any off.

    .. math:: z = (p-1)\,W\,\sqrt{(2\Delta x/\lambda)^2 - 1}

    for the axis where it is least; 0 where the samples are finer than λ/2.

    Args:
        grid: samples, of extent W.
        wavelength: λ, m.
        padding: p, window over field.
    """
    reach = [
        (padding - 1) * width * math.sqrt(max((2 * pitch / wavelength) ** 2 - 1, 0))
        for n, width, pitch in zip(grid.shape, grid.extent, grid.pitch, strict=True)
        if n > 1
    ]
    return min(reach, default=math.inf)


def _fast(count: int) -> int:
    return int(next_fast_len(count) or count)
