r"""Off-axis holography: a reference at an angle draws fringes across each mode, and one frame holds the complex field.

.. math:: I(X) = |E|^2 + r^2 + 2r\,\mathrm{Re}(E\,e^{-2\pi i X/\Lambda}), \quad \Lambda = \lambda/\sin\theta

The pixels of one mode are fitted with a constant and the two quadratures of the fringe, which is demodulation with a
box in space, a sinc in Fourier space. It is exact where the field is flat across a mode, for any number of fringes.

Source: Leith and Upatnieks, J. Opt. Soc. Am. 52, 1123 (1962); Gross and Atlan, Opt. Lett. 32, 909 (2007).
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from torch import Tensor

from simulators.bases import NODES, legendre
from simulators.bench import Bench
from simulators.detection.interference import ReferenceWave
from simulators.devices.camera import Camera
from simulators.errors import InputError, SamplingWarning
from simulators.fourier import centres

#: Camera pixels a fringe: where none is asked for; where it gets worse; where it cannot work.
USUAL_FRINGE, COARSE_FRINGE, NYQUIST_FRINGE = 4.0, 3.0, 2.0


class Fringes:
    """The camera's pixels within each mode, and the carrier they sample along x.

    Args:
        bench: with a camera; its reference arm's ``angle`` gives the period, else it is four pixels.
        order: q of the field's Legendre modes.

    Raises:
        InputError: two pixels a fringe or less, less than one fringe a mode, or no camera.

    Not modelled: pixels that differ within a mode; they leak the reference into the fringe, which a frame of the
    reference alone removes. The window is taken as filled by a whole number of pixels.
    """

    def __init__(self, bench: Bench, order: int):
        camera, pitch = bench.detector, bench.stage[0].pitch
        if not isinstance(camera, Camera):
            raise InputError("readout 'off_axis'", value=f"a {camera.kind_name}", allowed="a camera, to sample fringes")
        self.modes, self.order, self._window = bench.modes, order, camera.window
        self.pixels = math.isqrt(camera.pixels_per_mode(pitch))  #: a mode and axis
        width = camera.window / self.pixels  # in modes, as all lengths here
        angle = bench.reference_arm.angle if bench.reference_arm is not None else None
        if angle is None:
            period = USUAL_FRINGE * width
        else:
            period = bench.source.wavelength / max(math.sin(angle), 1e-12) / pitch
        self._check(period, width, pitch, bench.source.wavelength)
        turn = 2 * math.pi / period
        middle = centres(self.pixels) * width
        # |E|² of q Legendre modes is exact with q points a pixel.
        points, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(order))
        self._nodes = self._polynomials(middle, width, points) * torch.sqrt(weights * width / 2)[:, None]
        points, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(max(NODES, order + 8)))
        values = self._polynomials(middle, width, points) * (weights * width / 2)[:, None]  # [pixel, node, mode]
        phase = -turn * (middle[:, None] + width / 2 * points)
        self._across = values.sum(1)
        self._along = (values * torch.complex(phase.cos(), phase.sin())[..., None]).sum(1)
        phase = -turn * centres(self.modes[1])
        self._carrier = torch.complex(phase.cos(), phase.sin())
        fringe = self._along[:, 0]
        columns = torch.stack([torch.ones_like(fringe.real), fringe.real, -fringe.imag], dim=1)
        fit = torch.linalg.pinv(columns)
        self._filter = torch.complex(fit[1], fit[2]) / camera.window

    def _polynomials(self, middle: Tensor, width: float, points: Tensor) -> Tensor:
        """Legendre modes at ``points`` of each pixel, ``[pixel, point, mode]``."""
        place = middle[:, None] + width / 2 * points
        return torch.from_numpy(legendre(self.order, place.numpy())).permute(1, 2, 0)

    def _check(self, period: float, width: float, pitch: float, wavelength: float) -> None:
        sampled = period / width
        fringe = f"a fringe of {period * pitch * 1e6:.3g} um, {sampled:.2f} camera pixels"
        limit = f"reference_arm.angle ≤ {math.asin(min(1.0, wavelength / (4 * width * pitch))) * 1e3:.3g} mrad"
        if self._window / period < 1 - 1e-9:
            raise InputError(
                "readout 'off_axis': fringes across a mode",
                value=f"{fringe}, {self._window / period:.2f} fringes a mode",
                allowed="at least one fringe a mode",
                remedy="a larger reference_arm.angle, smaller camera pixels, or larger macro-pixels",
            )
        if sampled <= NYQUIST_FRINGE * (1 + 1e-9):
            raise InputError(
                "readout 'off_axis': sampling of the fringes",
                value=fringe,
                allowed="more than 2 pixels a fringe, better 3 to 4",
                remedy=limit,
            )
        if sampled < COARSE_FRINGE * (1 - 1e-9):
            warnings.warn(
                SamplingWarning(
                    f"off-axis readout: {fringe}; below 3 the pixels average the fringe away "
                    f"(contrast {np.sinc(1 / sampled):.2f}) and the field's structure overlaps it: {limit}"
                )
            )

    def frame(self, fields: Tensor, wave: ReferenceWave) -> Tensor:
        """Expected photons of every pixel, mean over the moments: ``[Q, R, B, y·q, x·q]`` → ``[R, B, y·n, x·n]``."""
        y, x = self.modes
        device, dtype = fields.device, fields.dtype
        modes = fields.reshape(*fields.shape[:-2], y, self.order, x, self.order).transpose(-3, -2)  # [..., y, x, a, b]
        nodes = self._nodes.reshape(-1, self.order).to(device, dtype)
        field = nodes @ modes @ nodes.mT  # [..., y, x, n·q, n·q]
        power = (field.real**2 + field.imag**2).mean(0)
        side = (self.pixels, self.order)
        light = power.reshape(*power.shape[:-2], *side, *side).sum((-3, -1))  # [R, B, y, x, n, n]
        # The matrix holds the fringe within a mode, the carrier that from mode to mode.
        along = self._along.to(device, dtype)
        seen = (self._across.to(device, dtype) @ modes @ along.mT).mean(0)
        seen = seen * self._carrier.to(device, dtype)[:, None, None]
        flat = light + _in_modes(wave.power) * (self._window / self.pixels) ** 2
        phase = None if wave.phase is None else _in_modes(wave.phase)
        frame = flat + ReferenceWave(wave.power, _in_modes(wave.beat), phase).fringe(seen.real, seen.imag)
        # Dark fringes are zero to rounding, and rounding has either sign.
        frame = frame.clamp(min=0).transpose(-3, -2)  # [R, B, y, n, x, n]
        return frame.reshape(*frame.shape[:-4], y * self.pixels, x * self.pixels)

    def demodulate(self, signal: Tensor, beat: float) -> Tensor:
        """Signal of every pixel ``[R, B, y·n, x·n]`` → amplitude of each mode, complex; ``beat``: nominal, 2Vr."""
        y, x = self.modes
        dtype = torch.complex64 if signal.dtype == torch.float32 else torch.complex128
        pixels = signal.reshape(*signal.shape[:-2], y, self.pixels, x, self.pixels).sum(-3)
        found = pixels.to(dtype) @ self._filter.to(signal.device, dtype)
        return found * self._carrier.conj().resolve_conj().to(signal.device, dtype) / beat


def _in_modes(value: Tensor) -> Tensor:
    """A figure a mode ``[R, B, y, x]`` beside the pixels of each: ``[R, B, y, x, 1, 1]``."""
    return value[..., None, None]
