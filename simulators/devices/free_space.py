"""Free space in the place of a lens: the lensless stage of multi-plane light conversion."""

from __future__ import annotations

from typing import Literal

from simulators.devices.chain import Link, Parameter
from simulators.spec import DeviceSpec, Fraction, Length


class FreeSpace(DeviceSpec):
    r"""A distance z between two masks: Fresnel diffraction, which is a Fourier transform between two curvatures.

    .. math:: E'(u) \propto \int E(x)\,e^{i\pi(x-u)^2/(\lambda z)}\,dx, \quad M = \lambda z/(p_1 p_2)

    The panels draw the conjugate curvatures, in steps of their native pixels, on top of what is commanded; the
    coarser the native pixel against the macro-pixel, the worse (four native pixels a macro-pixel lose little).
    """

    kind: Literal["free_space"] = "free_space"
    distance: Length  #: m
    transmission: Fraction | None = None  #: of power, such as of a fold mirror on the way; None: lossless

    def base(self, *, scale: bool = False) -> tuple[Parameter, ...]:
        """Figures that are no error: none."""
        return ()

    def links(self) -> tuple[Link, ...]:
        """Effects in the order they act."""
        if self.transmission is None:
            return ()
        return (Link("loss", "deterministic", (Parameter("transmission", self.transmission),)),)
