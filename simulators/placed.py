"""A device at its place on a bench, by name, by name and changes, or in full."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo

from simulators.devices.catalogue import device_data
from simulators.devices.free_space import FreeSpace
from simulators.devices.lens import Lens
from simulators.devices.measured import completed
from simulators.devices.modulator import AmplitudeModulator, PhaseModulator
from simulators.devices.pose import Misalignment
from simulators.spec import Spec


def _from_catalogue(value: Any, info: ValidationInfo) -> Any:
    """A device may be named (``"hene_633"``), named and changed (``{catalogue = "hene_633", …}``), or given in full."""
    if isinstance(value, str):
        return dict(device_data(_beside(value, info)))
    if isinstance(value, Mapping) and "catalogue" in value:
        changes = {key: entry for key, entry in value.items() if key != "catalogue"}
        known = device_data(_beside(str(value["catalogue"]), info))
        return {**known, **completed(changes, known)}
    return value


def _beside(name: str, info: ValidationInfo) -> str:
    """A user's device file is looked for beside the bench's file first."""
    if name.endswith(".toml") and info.context and info.context.get("file"):
        beside = Path(info.context["file"]).parent / name
        if beside.exists():
            return str(beside)
    return name


named = BeforeValidator(_from_catalogue)
PlacedDevice = Annotated[PhaseModulator | AmplitudeModulator | Lens | FreeSpace, Field(discriminator="kind"), named]


Modulation = Literal["phase_only", "tandem", "two_phase", "double_phase"]


class Placed(Spec):
    r"""A device at its place on the bench.

    A modulator shows one value a macro-pixel of ``macro_pixel`` × ``macro_pixel`` native pixels. A phase panel shows
    complex values :math:`a e^{ip}` in one of three ways, an amplitude panel with a phase ``companion`` a complex input:

    - ``"tandem"``: an amplitude panel as ``companion``, relayed onto it 1:1;
    - ``"two_phase"``: a second phase panel as ``companion``, the two added by an interferometer,
      :math:`(e^{i(p+\arccos a)} + e^{i(p-\arccos a)})/2`;
    - ``"double_phase"``: the same two phases on the black and white native pixels of a chequerboard, which the next
      plane's aperture, as a stop, averages; the rest of the light, :math:`1-a^2`, goes to orders that miss it.

    Source: Hsueh and Sawchuk, Appl. Opt. 17, 3874 (1978), for the last.
    """

    device: PlacedDevice
    double_phase: bool = False  #: whether a phase panel alone shows complex values, by a chequerboard
    macro_pixel: int = Field(default=1, ge=1)  #: native pixels a macro-pixel and axis
    panel: str | None = None  #: zones of one panel share its look-up table and its ripple
    companion: Annotated[PhaseModulator | AmplitudeModulator, Field(discriminator="kind"), named] | None = None
    relay: Annotated[Lens, named] | None = None  #: each of the two lenses that image this plane onto the next device
    misalignment: Misalignment | None = None  #: how far from its place it may stand; None: exactly there

    @property
    def modulation(self) -> Modulation:
        """How a phase panel here shows what it is told."""
        if self.companion is None:
            return "double_phase" if self.double_phase else "phase_only"
        return "two_phase" if isinstance(self.companion, PhaseModulator) else "tandem"

    @property
    def pitch(self) -> float:
        """Macro-pixel pitch, m; of a modulator."""
        if isinstance(self.device, Lens | FreeSpace):
            raise TypeError(f"a {self.device.kind_name} has no pixels")
        return self.device.pixel_pitch * self.macro_pixel
