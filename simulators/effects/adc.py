"""From a photocurrent to digits: what an amplifier adds to it, and what a converter makes of it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

BOLTZMANN = 1.380649e-23  #: J/K, exact (SI)


def johnson_noise(resistance: Tensor, temperature: Tensor, bandwidth: Tensor) -> Tensor:
    r"""Rms thermal current of a resistor.

    .. math:: \sigma_I = \sqrt{4 k T B/R}

    Args:
        resistance: R, ohm.
        temperature: T, K.
        bandwidth: B, Hz; all of shapes that broadcast.

    Returns:
        A rms.

    Source: Nyquist, Phys. Rev. 32, 110 (1928).
    """
    # Two roots: their product stays within the range of single precision.
    return math.sqrt(4 * BOLTZMANN) * torch.sqrt(temperature * bandwidth / resistance)


def voltage_noise(density: Tensor, capacitance: Tensor, bandwidth: Tensor) -> Tensor:
    r"""Rms current that an amplifier's input voltage noise drives through the capacitance at its input.

    .. math:: \sigma_I = 2\pi e_n C \sqrt{B^3/3}, \quad\text{of}\quad \int_0^B (2\pi f e_n C)^2\,df

    Args:
        density: e_n, V/√Hz, white.
        capacitance: C, F.
        bandwidth: B, Hz; all of shapes that broadcast.

    Returns:
        A rms.

    Source: Graeme, *Photodiode Amplifiers*, ch. 5 (1996).
    """
    return 2 * math.pi * density * capacitance * bandwidth * torch.sqrt(bandwidth / 3)


def relative_intensity_noise(current: Tensor, density: Tensor, bandwidth: Tensor, normal: Tensor) -> Tensor:
    r"""The current of light whose power fluctuates.

    .. math:: I' = I\,(1 + \sqrt{\mathrm{RIN}\,B}\,\varepsilon)

    Args:
        current: I, A.
        density: RIN, 1/Hz.
        bandwidth: B, Hz.
        normal: ε; of one value for all modes where one laser lights them.
    """
    return current * (1 + torch.sqrt(density * bandwidth) * normal)


def converter_noise(full_scale: float, effective_bits: float, bits: int | None) -> float:
    r"""Rms noise of a converter beyond its rounding.

    .. math:: \sigma^2 = \frac{1}{12}\Bigl[\Bigl(\frac{FS}{2^{ENOB}-1}\Bigr)^2 - \Bigl(\frac{FS}{2^b-1}\Bigr)^2\Bigr]

    so that together they are the rounding of an ideal converter of ENOB bits.

    Args:
        full_scale: FS, in any unit, which is that of the result.
        effective_bits: ENOB, ≤ b.
        bits: b; None: nothing is rounded.

    Source: IEEE Std 1241.
    """
    ideal = full_scale / (2**effective_bits - 1)
    rounding = 0.0 if bits is None else full_scale / (2**bits - 1)
    return math.sqrt((ideal**2 - rounding**2) / 12)


def clip(value: Tensor, full_scale: Tensor, *, bipolar: bool = False) -> Tensor:
    """Hard end of a converter's range at ``full_scale``, and at its negative if bipolar; gradient 0 beyond."""
    clipped = torch.minimum(value, full_scale)
    return torch.maximum(clipped, -full_scale) if bipolar else clipped
