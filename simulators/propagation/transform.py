"""Fourier transforms and paraxial systems between two grids: sums over samples, each as fast as its spacing allows."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from simulators.errors import InputError, SamplingWarning
from simulators.grid import Grid
from simulators.propagation.axis import AxisFourier, Figure, Method, Samples, exact, learned, number, phasor


def check_field(field: Tensor, grid: Grid) -> None:
    """Raise :class:`~simulators.errors.InputError` unless ``field`` is complex and sampled on ``grid``."""
    if not field.is_complex():
        raise InputError("field", value=f"a tensor of {field.dtype}", allowed="a complex field")
    if tuple(field.shape[-2:]) != grid.shape:
        raise InputError(
            "field", value=f"{tuple(field.shape[-2:])} samples (y, x)", allowed=f"{grid.shape} of its grid"
        )


def check_distance(name: str, value: Figure) -> None:
    """Raise :class:`~simulators.errors.InputError` unless ``value`` is finite and not 0."""
    if not math.isfinite(number(value)) or number(value) == 0:
        raise InputError(name, value=f"{number(value):g} m", allowed="a length other than 0")


class FourierTransform:
    r"""What a lens does from its front to its back focal plane, between any two grids.

    .. math:: E'(u, v) = \frac{\Delta x\,\Delta y}{i\lambda f}\sum_{x,y} E(x, y)\,e^{-2\pi i(xu+yv)/(\lambda f)}

    Power is Σ|E|²ΔxΔy in front and Σ|E'|²ΔuΔv behind. Where Δu = λf/(NΔx) on N samples
    (:meth:`~simulators.grid.Grid.conjugate`) the transform is unitary in this sense; two in a row flip the plane and
    change its sign. Fewer or coarser samples behind measure the power they are at.

    Args:
        grid_in: samples (y, x) in front.
        grid_out: samples (v, u) behind.
        wavelength: λ, m; a tensor of one number may be learned.
        distance: f, m; likewise. Negative: the inverse transform.
        method: of every axis, "auto", "fft", "matrix" or "chirp-z". Auto takes the FFT where λf/(ΔxΔu) is a whole
            number that holds both counts, and of the rest what takes the fewest operations; ``plan`` tells.
        axis: where the lens is (y, x), m.

    Raises:
        InputError: a distance or wavelength of 0, or a method that does not fit.

    Warns:
        SamplingWarning: samples behind lie where those in front repeat themselves.

    Source: Goodman, *Introduction to Fourier Optics*, 5.2. Not modelled: the constant phase along the axis; for a real
    lens see :class:`~simulators.propagation.TwoF`.
    """

    def __init__(
        self,
        grid_in: Grid,
        grid_out: Grid,
        wavelength: Figure,
        distance: Figure,
        method: Method = "auto",
        *,
        axis: tuple[Figure, Figure] = (0.0, 0.0),
    ):
        check_distance("wavelength", wavelength)
        check_distance("distance", distance)
        self.grid_in, self.grid_out = grid_in, grid_out
        self._scale = exact(wavelength) * exact(distance)
        check_reach(grid_in, grid_out, number(self._scale), 0.0, [number(a) for a in axis])
        self._axes = [
            AxisFourier(samples_of(grid_in, i, axis[i]), samples_of(grid_out, i, axis[i]), self._scale, method)
            for i in (0, 1)
        ]
        # Powers a sample, not densities, are what the axes' transforms keep; 1/i is the lens's own phase.
        self._weight = math.sqrt(grid_in.cell / grid_out.cell) * (-1j if number(self._scale) > 0 else 1j)

    @property
    def plan(self) -> str:
        """Which method takes which axis, and why."""
        return f"y: {self._axes[0].plan}; x: {self._axes[1].plan}"

    def __call__(self, field: Tensor) -> Tensor:
        """The field behind, ``[..., v, u]``, of ``[..., y, x]`` in front."""
        check_field(field, self.grid_in)
        return self._apply(field, adjoint=False) * self._weight

    def adjoint(self, field: Tensor) -> Tensor:
        """The adjoint with respect to power, Σ E'* (T E) ΔuΔv = Σ (T† E')* E ΔxΔy, not the inverse."""
        check_field(field, self.grid_out)
        return self._apply(field, adjoint=True) * (self._weight.conjugate() * self.grid_out.cell / self.grid_in.cell)

    def _apply(self, field: Tensor, *, adjoint: bool) -> Tensor:
        growth = [math.log(axis.growth) * (-1 if adjoint else 1) for axis in self._axes]
        # The axis that shrinks goes first and leaves the other less to do.
        for i in sorted((0, 1), key=lambda i: growth[i]):
            field = self._axes[i](field, i - 2, adjoint=adjoint)
        return field


class Collins:
    r"""Any paraxial system of lenses and free space along one axis, by its ray matrix.

    .. math:: E'(u) = \frac{1}{i\lambda B}\int E(x)\,e^{\frac{i\pi}{\lambda B}(A x^2 - 2xu + D u^2)}\,d^2x

    Args:
        grid_in: samples in front.
        grid_out: samples behind.
        wavelength: λ, m; like A, B, D a float or a tensor of one number, to be learned.
        a: A of the ray matrix ((A, B), (C, D)), dimensionless.
        b: B, m.
        d: D, dimensionless.
        method: as in :class:`FourierTransform`.
        axis: where the system's axis is (y, x), m.

    Raises:
        InputError: B = 0, which is an image, not a transform.

    Warns:
        SamplingWarning: samples behind lie where those in front repeat themselves.

    Source: Collins, J. Opt. Soc. Am. 60, 1168 (1970). Not modelled: apertures; the constant phase along the axis.
    """

    def __init__(
        self,
        grid_in: Grid,
        grid_out: Grid,
        wavelength: Figure,
        a: Figure,
        b: Figure,
        d: Figure,
        *,
        method: Method = "auto",
        axis: tuple[Figure, Figure] = (0.0, 0.0),
    ):
        check_distance("B, the distance a ray's angle acts over,", b)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SamplingWarning)  # judged below, with the curvature
            self._transform = FourierTransform(grid_in, grid_out, wavelength, b, method, axis=axis)
        scale = exact(wavelength) * exact(b)
        check_reach(grid_in, grid_out, number(scale), number(a), [number(c) for c in axis])
        self.grid_in, self.grid_out, self.plan = grid_in, grid_out, self._transform.plan
        self._before = Curvature(grid_in, exact(a) / scale, axis)
        self._after = Curvature(grid_out, exact(d) / scale, axis)

    def __call__(self, field: Tensor) -> Tensor:
        """The field behind, ``[..., v, u]``, of ``[..., y, x]`` in front."""
        check_field(field, self.grid_in)
        return self._after(self._transform(self._before(field)))

    def adjoint(self, field: Tensor) -> Tensor:
        """The adjoint with respect to power, not the inverse."""
        check_field(field, self.grid_out)
        return self._before(self._transform.adjoint(self._after(field, adjoint=True)), adjoint=True)


class Curvature:
    r"""Multiplies a field by :math:`e^{i\pi c\,((x-x_0)^2+(y-y_0)^2)}`; by nothing where c is the number 0."""

    def __init__(self, grid: Grid, bend: Figure, axis: tuple[Figure, Figure] = (0.0, 0.0)):
        self._grid, self._bend, self._axis = grid, exact(bend), axis
        self._kept: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}

    def __call__(self, field: Tensor, *, adjoint: bool = False) -> Tensor:
        """The bent field, or with ``adjoint`` the one bent the other way."""
        if not isinstance(self._bend, Tensor) and self._bend == 0:
            return field
        if learned(self._bend, *self._axis):
            row, column = (kernel.to(field) for kernel in self._build())
        else:
            key = (field.dtype, field.device)
            if key not in self._kept:
                with torch.inference_mode(False), torch.no_grad():
                    self._kept[key] = [kernel.to(field) for kernel in self._build()]
            row, column = self._kept[key]
        return field * row.conj() * column.conj() if adjoint else field * row * column

    def _build(self) -> tuple[Tensor, Tensor]:
        row, column = (samples_of(self._grid, i, self._axis[i]).positions() for i in (0, 1))
        return phasor(math.pi * self._bend * row**2)[:, None], phasor(math.pi * self._bend * column**2)


def samples_of(grid: Grid, axis: int, origin: Figure = 0.0) -> Samples:
    """One axis of a grid, counted from ``origin``."""
    return Samples(grid.shape[axis], grid.pitch[axis], grid.centre[axis] - exact(origin))


def check_reach(grid_in: Grid, grid_out: Grid, scale: float, a: float, axis: list[float]) -> None:
    """Warn where a sum over samples repeats itself: light from x to u leaves at (u - A x)/B, samples carry λ/(2Δx)."""
    for i, name in enumerate("yx"):
        if grid_in.shape[i] == 1:
            continue  # one sample is no sampling: the field is uniform along this axis
        x, u = (samples_of(grid, i, axis[i]) for grid in (grid_in, grid_out))
        reach = max(
            abs(c_u + s * (u.count - 1) / 2 * u.pitch - a * (c_x + t * (x.count - 1) / 2 * x.pitch))
            for c_u, c_x in [(number(u.centre), number(x.centre))]
            for s in (-1, 1)
            for t in (-1, 1)
        )
        limit = abs(scale) / (2 * x.pitch)
        if reach > limit * (1 + 1e-9):
            warnings.warn(
                SamplingWarning(
                    f"along {name}, samples of {x.pitch * 1e6:.4g} µm carry light {limit * 1e3:.4g} mm far, but the "
                    f"output lies up to {reach * 1e3:.4g} mm away: beyond, it shows a repetition; safe: a pitch of at "
                    f"most {abs(scale) / (2 * reach) * 1e6:.4g} µm, a smaller output, or a distance "
                    f"{reach / limit:.3g} times as long"
                ),
                stacklevel=3,
            )
