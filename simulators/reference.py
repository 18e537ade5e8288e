"""The reference bench: what the documentation, the examples and the tests stand on."""

from __future__ import annotations

from typing import Any

from simulators.bench import Bench

#: Neutral density in front of the reference laser: 2 mW for 1 ms would bleach the camera ten thousand times over.
REFERENCE_DENSITY = 4.0


def reference_bench(
    modes: tuple[int, int] = (8, 8), *, complex_masks: bool = False, complex_input: bool = False
) -> Bench:
    """The reference bench: 633 nm, an 8 µm LCoS panel in macro-pixels, an f = 100 mm achromat, a CMOS camera.

    Macro-pixels are 8×8 native pixels (64 µm) up to 8 modes an axis (M = 15.45, P = 16), 4×4 (32 µm) above, which
    carries 31 (M = 61.8, P = 62).

    Args:
        modes: (y, x).
        complex_masks: relay an amplitude panel onto every mask, as ``mapping="exact"`` needs; else phase alone.
        complex_input: write complex x, by a phase panel relayed onto the amplitude panel.

    Raises:
        InputError: more modes than the bench can carry, with the inequality and a remedy.
    """
    slm = "holoeye_pluto21_vis"
    lens = "thorlabs_ac254_100_a"

    def build(macro: int) -> Bench:
        mask: dict[str, Any] = {"device": slm, "macro_pixel": macro, "panel": "slm"}
        if complex_masks:
            mask |= {"companion": f"{slm}_amplitude", "relay": lens}
        return Bench.from_dict(
            {
                "name": "reference",
                "modes": modes,
                "source": {"catalogue": "hene_633", "optical_density": REFERENCE_DENSITY},
                "input": {
                    "device": "holoeye_pluto21_vis_amplitude",
                    "macro_pixel": macro,
                    "relay": lens,
                    **({"companion": slm} if complex_input else {}),
                },
                "stage": [mask, {"device": lens}, mask, {"device": lens}],
                "detector": {"catalogue": "basler_aca2440_75um", "exposure": "1 ms"},
            },
            file="reference_bench",
        )

    return build(8 if max(modes) <= 8 else 4)
