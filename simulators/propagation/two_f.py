r"""A lens with an edge and wavefront errors between two planes, nominally its focal planes.

The lens's quadratic phase is never sampled: it cancels against that of the way behind it, and what is left of both,
:math:`e^{i\pi\xi^2(1/d_2 - 1/f)/\lambda}`, vanishes where the distance is the focal length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from simulators.errors import InputError
from simulators.grid import Grid
from simulators.propagation.axis import AxisFourier, Figure, Samples, exact, learned, number, phasor
from simulators.propagation.pupil import Shape, aperture
from simulators.propagation.transform import Collins, Curvature, check_distance, check_field, check_reach, samples_of
from simulators.zernike import wavefront

#: Width of the fade in 1/√(λB): what an edge scatters onto the output from beyond it is half a per cent of the field.
FADE = 6.0
#: Space beside the light at the lens in √(λB), which the fade's ripple needs.
SPACE = 2.0
#: What an edge that cuts the light scatters folds onto the output only from 1/√(λB) times this beyond it.
FOLD = 12.0
#: The fade is an error function of this steepness: its ends miss 1 and 0 by 4e-7, its ripple dies as fast.
STEEP = 3.5


class TwoF:
    r"""From a plane in front of a lens to a plane behind it, through the lens's aperture and aberration.

    .. math:: E'(u) = \frac{e^{i\pi u^2/(\lambda d_2)}}{i\lambda d_2}\int P(\xi)\,e^{2\pi i W(\xi)}\,
        e^{\frac{i\pi}{\lambda}(\frac{1}{d_2}-\frac{1}{f})\xi^2}\,E_L(\xi)\,e^{-2\pi i\xi u/(\lambda d_2)}\,d^2\xi

    with E_L the input after Fresnel propagation by d₁. Without aperture and aberration this is the one Fourier
    transform of :class:`Collins`, with A = 1 - d₂/f, B = d₁ + d₂ - d₁d₂/f, D = 1 - d₁/f, and is taken as such; for
    d₁ = d₂ = f it is :class:`FourierTransform`.

    The lens plane is sampled for the light that can reach ``grid_out``; light well beyond is faded out. Where no edge
    cuts the light this equals the one transform to 1e-7; an edge scatters a little of what was dropped, 0.5 % of the
    field. Power is what the samples of both grids measure: passive on samples twice as fine as λf/W, while on critical
    ones some combination of pixels may seem to gain by a tenth. Every figure may be a tensor of one number, to be
    learned; the samples of the lens plane follow its value but carry no gradient.

    Args:
        grid_in: samples in front; one row is a field uniform along y, and the lens cylindrical.
        grid_out: samples behind.
        wavelength: λ, m.
        focal_length: f, m.
        aperture: clear diameter of the lens, m; None: as wide as the light.
        shape: of the aperture, "circular" or "square" (the diameter is its side).
        aberration: Noll number → waves rms over the clear aperture, extra optical path; None: none.
        front: d₁ ≥ 0 from grid_in to the lens, m; None: f.
        back: d₂ > 0 from the lens to grid_out, m; None: f.
        decentre: the lens's axis (y, x), m.
        lens_grid: samples of the lens plane, from the lens's axis; None: chosen.

    Raises:
        InputError: a distance out of range, an image (B = 0), an aberration without an aperture to define it over.

    Warns:
        SamplingWarning: samples behind lie where those in front repeat themselves.

    Source: Goodman, *Introduction to Fourier Optics*, 5.2; Collins, J. Opt. Soc. Am. 60, 1168 (1970). Not modelled:
    thickness of the lens, reflections, the constant phase along the axis.
    """

    def __init__(
        self,
        grid_in: Grid,
        grid_out: Grid,
        wavelength: Figure,
        focal_length: Figure,
        *,
        aperture: float | None = None,
        shape: Shape = "circular",
        aberration: Mapping[int, Figure] | None = None,
        front: Figure | None = None,
        back: Figure | None = None,
        decentre: tuple[Figure, Figure] = (0.0, 0.0),
        lens_grid: Grid | None = None,
    ):
        if not number(wavelength) > 0:
            raise InputError("wavelength", value=f"{number(wavelength):g} m", allowed="a positive length")
        check_distance("focal length", focal_length)
        if aberration and aperture is None:
            raise InputError("aberration", allowed="only with a clear aperture, over which its waves are rms")
        self.grid_in, self.grid_out = grid_in, grid_out
        f, wave = exact(focal_length), exact(wavelength)
        front, back = (f if d is None else exact(d) for d in (front, back))
        if not number(front) >= 0 or not number(back) > 0:
            raise InputError(
                "distances from the lens", value=f"{number(front):g} m and {number(back):g} m",
                allowed="at least 0 in front and more than 0 behind",
            )  # fmt: skip
        if aperture is not None and not aperture > 0:
            raise InputError("aperture", value=f"{aperture:g} m", allowed="a positive diameter in metres")
        #: The ray matrix ((A, B), (C, D)) without C.
        self.ray: tuple[Figure, Figure, Figure] = (1 - back / f, front + back - front * back / f, 1 - front / f)
        if abs(number(self.ray[1])) < 1e-9 * (number(front) + number(back)):
            raise InputError(
                "distances from the lens", value=f"{number(front):g} m and {number(back):g} m: an image",
                allowed="no image of grid_in on grid_out (1/d₁ + 1/d₂ = 1/f)", remedy="nearer to the focal planes",
            )  # fmt: skip
        self.lens_grid: Grid | None = None
        self._direct: Collins | None = None
        if aperture is None:
            self._direct = Collins(grid_in, grid_out, wave, *self.ray, axis=decentre)
            self.plan = f"one transform; {self._direct.plan}"
            return
        check_reach(grid_in, grid_out, number(wave * self.ray[1]), number(self.ray[0]), [number(c) for c in decentre])
        self._wave, self._residual = wave, (1 / back - 1 / f) / wave
        self._aperture = aperture
        self._shape: Shape = shape
        self._aberration = {noll: c if isinstance(c, Tensor) else float(c) for noll, c in (aberration or {}).items()}
        walk = self._steepest()
        axes = [self._axis(i, number(front), number(back), decentre[i], walk, lens_grid) for i in (0, 1)]
        self._steps = [_steps(axis, wave * back, wave * self.ray[1]) for axis in axes]
        spectrum, lens = (
            Grid(
                (samples[0].count, samples[1].count),
                (samples[0].pitch, samples[1].pitch),
                (number(samples[0].centre), number(samples[1].centre)),
            )
            for samples in ([axis.spectrum for axis in axes], [axis.lens for axis in axes])
        )
        self.lens_grid = lens
        self._travel = Curvature(spectrum, -wave * front)
        self._fade = axes[0].fade()[:, None] * axes[1].fade()
        self._after = Curvature(grid_out, 1 / (wave * back), decentre)
        # Powers a sample, not densities, are what the axes' transforms keep; 1/i is the lens's own phase.
        self._weight = -1j * math.sqrt(grid_in.cell / grid_out.cell)
        self.plan = f"lens plane of {lens.shape[0]} × {lens.shape[1]} samples of {lens.pitch[1] * 1e6:.4g} µm"
        self._kept: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def __call__(self, field: Tensor) -> Tensor:
        """The field behind, ``[..., v, u]``, of ``[..., y, x]`` in front."""
        if self._direct is not None:
            return self._direct(field)
        check_field(field, self.grid_in)
        field = self._travel(self._step(0, field)) * self._fade.to(field)
        field = self._step(1, field) * self._lens(field)
        return self._after(self._step(2, field)) * self._weight

    def adjoint(self, field: Tensor) -> Tensor:
        """The adjoint with respect to power, Σ E'* (T E) ΔuΔv = Σ (T† E')* E ΔxΔy, not the inverse."""
        if self._direct is not None:
            return self._direct.adjoint(field)
        check_field(field, self.grid_out)
        field = self._step(2, self._after(field, adjoint=True), adjoint=True) * self._lens(field).conj()
        field = self._travel(self._step(1, field, adjoint=True), adjoint=True) * self._fade.to(field)
        return self._step(0, field, adjoint=True) * (1j * math.sqrt(self.grid_out.cell / self.grid_in.cell))

    def _step(self, step: int, field: Tensor, *, adjoint: bool = False) -> Tensor:
        """In front → spectrum → lens → behind, the axis first that grows less."""
        transforms = [steps[step] for steps in self._steps]
        order = sorted((0, 1), key=lambda i: 0.0 if (transform := transforms[i]) is None else transform.growth)
        for i in reversed(order) if adjoint else order:
            transform = transforms[i]
            if transform is not None:
                field = transform(field, i - 2, adjoint=adjoint)
        return field

    def _lens(self, field: Tensor) -> Tensor:
        """Aperture, aberration and what curvature is left, complex ``[ξ_y, ξ_x]``."""
        if learned(self._residual, self._wave, *self._aberration.values()):
            return self._build(field)
        key = (field.dtype, field.device)
        if key not in self._kept:
            with torch.inference_mode(False), torch.no_grad():
                self._kept[key] = self._build(field)
        return self._kept[key]

    def _build(self, field: Tensor) -> Tensor:
        assert self.lens_grid is not None
        clear = aperture(self.lens_grid, self._aperture, self._shape)
        y, x = self.lens_grid.meshed()
        radius = self._aperture / 2
        coefficients = {noll: exact(c) for noll, c in self._aberration.items()}
        parts = []
        for rows, share in zip(y.split(256), clear.split(256), strict=True):  # the plane may be large
            phase = math.pi * self._residual * (rows**2 + x**2)
            if coefficients:
                phase = phase + 2 * math.pi * wavefront(coefficients, rows / radius, x / radius)
            parts.append((phasor(phase) * share).to(field))
        return torch.cat(parts)

    def _steepest(self) -> float:
        """By how much the aberration changes the spatial frequency of light at most, cycles/m."""
        if not self._aberration:
            return 0.0
        unit = torch.linspace(-1, 1, 129, dtype=torch.float64)
        with torch.no_grad():
            coefficients = {noll: number(c) for noll, c in self._aberration.items()}
            wave = wavefront(coefficients, unit[:, None], unit[None, :])
            inside = unit[:, None] ** 2 + unit**2 <= (1.0 if self._shape == "circular" else 2.0)
            slopes = torch.stack(torch.gradient(wave, spacing=(unit, unit))).abs() * inside
        return float(slopes.max()) / (self._aperture / 2)

    def _axis(self, i: int, front: float, back: float, decentre: Figure, walk: float, lens_grid: Grid | None) -> _Axis:
        """Samples of one axis, all from the lens's axis."""
        start, end = (samples_of(grid, i, decentre) for grid in (self.grid_in, self.grid_out))
        one = Samples(1, 1.0)
        if start.count == 1:  # uniform along this axis: the lens does nothing but transform it
            return _Axis(start, one, one, end, (0.0, 0.0), uniform=True)
        wave = number(self._wave)
        a, b = number(self.ray[0]), number(self.ray[1])
        # From x to u light leaves at λν = (u - A x)/B, and what the lens then bends by `walk` may land there too.
        nyquist = 0.5 / start.pitch
        angles = [(u - a * x) / (wave * b) for x, u in product(_edges(start), _edges(end))]
        low, high = max(min(angles) - walk, -nyquist), min(max(angles) + walk, nyquist)
        if low >= high:
            raise InputError("input samples", value=f"a pitch of {start.pitch:g} m",
                             allowed="fine enough to send light to the output", remedy="a finer pitch")  # fmt: skip
        # What lies beyond fades out over a band of its own, so smoothly that it ends a few √(λB) outside its shadow.
        blur = math.sqrt(wave * abs(b))
        band = (low, high)
        low, high = low - FADE / blur, high + FADE / blur
        crossings = [x + wave * front * nu for x in _edges(start) for nu in (low, high)]
        left, right = min(crossings) - SPACE * blur, max(crossings) + SPACE * blur
        rim = self._aperture / 2
        left_open, right_open = max(left, -rim), min(right, rim)
        if left_open >= right_open:
            raise InputError("lens", value=f"an aperture of {self._aperture:g} m",
                             allowed="in the way of the light", remedy="a wider or better centred lens")  # fmt: skip
        # Light that misses the aperture may come back from the other side of the period, but not into the aperture.
        room = max(right_open - left, right - left_open)
        period = _fast(max(start.count, math.ceil(room / start.pitch))) * start.pitch
        spectrum = Samples(math.ceil((high - low) * period), 1 / period, (low + high) / 2)
        # Behind the lens: the frequencies there are must not fold onto those that land on the output.
        bend = number(self._residual)
        there = [nu + bend * xi for nu in _edges(spectrum) for xi in (left_open, right_open)]
        wanted = [u / (wave * back) for u in _edges(end)]
        rate = max(max(there) + walk - min(wanted), max(wanted) - min(there) + walk, high - low)
        if rim < math.sqrt(2) * max(-left, right):
            rate += FOLD / blur
        samples = _fast(math.ceil(rate * period * (1 + 1e-9)))
        pitch = period / samples
        count = min(samples, math.ceil((right_open - left_open) / pitch) + 2)
        if lens_grid is not None:
            return _Axis(start, spectrum, samples_of(lens_grid, i), end, band)
        return _Axis(start, spectrum, Samples(count, pitch, (left_open + right_open) / 2), end, band)


@dataclass(frozen=True)
class _Axis:
    """Samples along one axis: in front, of the spectrum, at the lens, behind."""

    start: Samples
    spectrum: Samples
    lens: Samples
    end: Samples
    band: tuple[float, float]  #: cycles/m, of the light that is kept whole
    uniform: bool = False

    def fade(self) -> Tensor:
        """1 within the band, then to 0 at the ends of the spectrum."""
        nu = self.spectrum.positions()
        width = (self.spectrum.count * self.spectrum.pitch - (self.band[1] - self.band[0])) / 2
        if self.uniform or width <= 2 * self.spectrum.pitch:
            return torch.ones_like(nu)
        beyond = torch.maximum(self.band[0] - nu, nu - self.band[1]) / width
        return 0.5 * torch.erfc(STEEP * (2 * beyond - 1))


def _steps(axis: _Axis, back: Figure, whole: Figure) -> tuple[AxisFourier | None, AxisFourier | None, AxisFourier]:
    """To the spectrum, to the lens, behind; ``back`` = λd₂, ``whole`` = λB."""
    if axis.uniform:
        return None, None, AxisFourier(axis.start, axis.end, whole)
    return (
        AxisFourier(axis.start, axis.spectrum, 1.0),
        AxisFourier(axis.spectrum, axis.lens, -1.0),
        AxisFourier(axis.lens, axis.end, back),
    )


def _edges(samples: Samples) -> tuple[float, float]:
    half = samples.count * samples.pitch / 2
    return number(samples.centre) - half, number(samples.centre) + half


def _fast(count: int) -> int:
    return int(next_fast_len(count) or count)
