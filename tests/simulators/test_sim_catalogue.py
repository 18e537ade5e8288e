"""The catalogue: every figure says where it comes from, and no device is used where it does not work."""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

import simulators as sim
from simulators import effects
from simulators.devices.catalogue import KINDS
from simulators.devices.catalogue import catalogue as names
from simulators.effects.level_tables import PLM_P47, PLM_P67
from simulators.spec import Confidence

FOLDER = Path(sim.__file__).parent / "devices" / "catalogue"
METADATA = {"kind", "name", "vendor", "notes"}
MIRRORS = ("ti_plm_p47", "ti_plm_p67", "glv_f1088", "static_gold_mask")  #: whose stroke is a length
LIQUID_CRYSTAL = {
    *("hamamatsu_x15213_02", "holoeye_gaea2_telco", "holoeye_leto3_vis", "holoeye_pluto21_nir149"),
    *("holoeye_pluto21_vis", "meadowlark_1920_vis", "meadowlark_uhsp_1k", "santec_slm200"),
}


def raw(name):
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def value_of(name, figure):
    return raw(name)[figure]["value"]


def of_kind(*kinds):
    return [name for name in names() if raw(name)["kind"] in kinds]


def test_it_holds_every_file_and_devices_of_every_kind():
    assert set(names()) == {path.stem for path in FOLDER.glob("*.toml")}
    made = set(KINDS) - {"free_space"}  # nobody sells it
    assert {raw(name)["kind"] for name in names()} == made
    assert list(names()) == sorted(names())
    assert LIQUID_CRYSTAL | {*MIRRORS, "ideal"} == set(of_kind("phase_modulator"))
    assert set(of_kind("amplitude_modulator")) == {"dlp650lnir", "holoeye_pluto21_vis_amplitude"}
    achromats = {f"thorlabs_ac254_{f:03d}_{coating}" for f in (50, 75, 100, 150, 200) for coating in "abc"}
    assert set(of_kind("lens")) == achromats | {"fourier_lens_100", "cylindrical_100"}
    assert len(of_kind("camera")) == 5
    assert set(of_kind("photodiode")) == {"pd_tia_1ghz", "silicon_photodiodes_16x16"}
    assert set(of_kind("laser")) == {"hene_633", "ecdl_1550", "dfb_1550", "diode_638"}


@pytest.mark.parametrize("name", names())
def test_a_device_loads_as_its_kind(name):
    device = sim.load_device(name)
    assert type(device) is KINDS[raw(name)["kind"]]
    assert device.name == name
    assert device.vendor


@pytest.mark.parametrize("name", names())
def test_every_figure_carries_source_and_confidence(name):
    data, device = raw(name), sim.load_device(name)
    figures = set(data) - METADATA
    assert figures, "a device without figures"
    for figure in figures:
        entry = data[figure]
        assert isinstance(entry, dict), f"{name}.{figure} is a bare value"
        assert set(entry) == {"value", "source", "confidence"}
        assert entry["confidence"] in get_args(Confidence)
        # Nothing that ships may call itself the user's own.
        assert entry["confidence"] != "user"
        assert len(entry["source"].strip()) > 3
        assert device.source_of(figure).source == entry["source"]
    assert {entry.figure for entry in device.provenance} == figures


@pytest.mark.parametrize("name", names())
def test_every_figure_of_the_spec_that_is_set_is_in_the_file(name):
    """A default of the class would be a figure without a source; switches and set-up choices are none."""
    choices = {"exposure", "window", "shot_noise", "optical_density", "bipolar", "provenance"}
    choices |= {"crosstalk_kernel", "dead_reflection", "axes", "zernike"}
    device = sim.load_device(name)
    set_figures = {key for key, value in device if value is not None} - METADATA - choices
    assert set_figures <= set(raw(name))


@pytest.mark.parametrize("name", names())
def test_what_is_usual_for_the_class_is_called_nominal(name):
    """And the other way round: what is called second-hand names whom it is from."""
    for figure, entry in raw(name).items():
        if isinstance(entry, dict) and "general knowledge" in entry["source"]:
            assert entry["confidence"] == "nominal", figure
        if isinstance(entry, dict) and entry["confidence"] == "datasheet":
            assert "name of the product" in entry["source"], figure  # nobody here has read another data sheet


@pytest.mark.parametrize("name", sorted(set(names()) - {"ideal"}))
def test_the_wavelengths_of_a_device_are_known(name):
    """Of lasers the wavelength itself; of everything else the range."""
    device = sim.load_device(name)
    if isinstance(device, sim.Laser):
        assert 300e-9 < device.wavelength < 3e-6
    else:
        low, high = device.wavelength_range
        assert 300e-9 < low < high < 3e-6


PLAUSIBLE = {
    "pixel_pitch": (1e-6, 1e-3),
    "fill_factor": (0.5, 1),
    "reflectance": (0.5, 1),
    "transmission": (0.9, 1),
    "quantum_efficiency": (0.5, 1),
    "bits": (1, 16),
    "stroke": (math.pi, 4 * math.pi),
    "frame_rate": (10, 1e10),
    "settle_time": (1e-7, 0.1),
    "electrical_power": (0.1, 300),
    "flicker_depth": (1e-4, 0.05),
    "phase_error": (0.01, 0.3),
    "lut_residual": (0.005, 0.1),
    "zero_order_leak": (0.001, 0.1),
    "crosstalk_fwhm": (3e-6, 7.5e-6),
    "flatness": (0.05, 1),
    "extinction_ratio": (100, 1e4),
    "focal_length": (0.01, 1),
    "diameter": (5e-3, 60e-3),
    "scale_error": (1e-3, 0.01),
    "figure_error": (5e-9, 50e-9),
    "full_well": (5e3, 2e6),
    "read_noise": (0.5, 60),
    "gain_nonuniformity": (1e-3, 0.05),
    "power": (1e-4, 1),
    "intensity_noise": (1e-4, 0.01),
    "wavelength_error": (1e-7, 1e-3),
    "pointing": (1e-7, 1e-4),
}


@pytest.mark.parametrize("name", names())
def test_figures_are_of_a_plausible_size(name):
    """A slip of a prefix or of a per cent would stand out."""
    device = sim.load_device(name)
    for figure, (low, high) in PLAUSIBLE.items():
        value = getattr(device, figure, None)
        assert value is None or low <= value <= high, f"{name}.{figure} = {value}"
    for pixels in getattr(device, "resolution", ()):
        assert 1 <= pixels <= 5000
    if isinstance(device, sim.PhaseModulator | sim.AmplitudeModulator | sim.Camera):
        assert device.pixel_pitch < 100e-6


# --- figures that can be checked against something else ---------------------------------------------------------------


@pytest.mark.parametrize(("name", "table", "rms"), [("ti_plm_p67", PLM_P67, 0.202), ("ti_plm_p47", PLM_P47, 0.189)])
def test_levels_of_the_mirrors(name, table, rms):
    """The published table times 15/16 of a turn; its rounding error is far worse than that of 16 even levels, 0.113.

    Between two levels g apart the error is even over ±g/2: a share g/2π of all phases, of variance g²/12.
    """
    device = sim.load_device(name)
    shown = np.array(device.levels) * device.stroke
    np.testing.assert_allclose(shown, np.array(table) * 15 / 16 * 2 * math.pi, rtol=1e-15)
    gaps = np.diff([*shown, 2 * math.pi])  # the last one goes round to level 0
    closed = math.sqrt(np.sum(gaps**3) / (12 * 2 * math.pi))
    assert closed == pytest.approx(rms, abs=5e-4)
    wanted = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000 * 2 * math.pi
    found = effects.quantise_to(wanted, torch.tensor(shown)) - wanted
    error = torch.remainder(found + math.pi, 2 * math.pi) - math.pi
    assert error.square().mean().sqrt().item() == pytest.approx(closed, rel=1e-4)


def test_fringing_is_of_liquid_crystal_alone():
    """The fitted kernel spans 0.59 pixels of 12.5 um (Schroff et al., 2023); the reference panel's is switched off."""
    fringing = {name for name in of_kind("phase_modulator") if sim.load_device(name).crosstalk_fwhm is not None}
    assert fringing == LIQUID_CRYSTAL - {"holoeye_pluto21_vis"}
    fitted = sim.load_device("hamamatsu_x15213_02")
    assert fitted.crosstalk_kernel == "super_gaussian"
    assert fitted.crosstalk_fwhm / fitted.pixel_pitch == pytest.approx(0.59, abs=0.005)
    assert {value_of(name, "crosstalk_fwhm") for name in fringing - {"hamamatsu_x15213_02"}} == {"5 um"}


def test_the_etched_mask_turns_depths_into_phase():
    """10 nm of depth, passed twice: 4π·10/1550 rad."""
    mask = sim.load_device("static_gold_mask")
    assert mask.phase_error == pytest.approx(4 * math.pi * 10 / 1550, rel=1e-2)


def test_the_singlet_disperses_as_its_glass():
    """-λ n'/(n - 1) of N-BK7 at 633 nm, from Schott's three-term dispersion formula, λ in um."""

    def index(wavelength):
        strengths, poles = (1.03961212, 0.231792344, 1.01046945), (0.00600069867, 0.0200179144, 103.560653)
        terms = (b * wavelength**2 / (wavelength**2 - c) for b, c in zip(strengths, poles, strict=True))
        return math.sqrt(1 + sum(terms))

    slope = (index(0.634) - index(0.632)) / 0.002
    expected = -0.633 * slope / (index(0.633) - 1)
    assert sim.load_device("cylindrical_100").chromatic_shift == pytest.approx(expected, rel=0.01)


def test_the_helium_neon_line():
    """632.9908 nm in vacuum, to 1.5e-6 (Stone et al., Metrologia 46, 11)."""
    assert sim.load_device("hene_633").wavelength == pytest.approx(632.9908e-9, rel=1.5e-6)


def test_a_fast_photodiode_follows_its_samples():
    """The mean over the exposure has the noise bandwidth 1/(2t), and samples come no faster than they end."""
    diode = sim.load_device("pd_tia_1ghz")
    assert 1 / (2 * diode.exposure) == pytest.approx(diode.bandwidth, rel=1e-12)
    assert diode.frame_rate * diode.exposure <= 1 + 1e-12


def test_the_devices_of_the_reference_bench_carry_the_effects_of_its_published_results():
    """An effect more would change every figure of the documentation: then both change together."""
    phase = ("quantisation", "lut_residual", "flicker", "phase_error", "zero_order_leak", "loss")
    carried = {
        "holoeye_pluto21_vis": phase,
        "holoeye_pluto21_vis_amplitude": ("quantisation", "extinction", "loss"),
        "thorlabs_ac254_100_a": ("scale_error", "loss"),
        "hene_633": ("intensity_noise",),
    }
    for name, expected in carried.items():
        assert tuple(link.name for link in sim.load_device(name).links()) == expected, name
    camera = sim.load_device("basler_aca2440_75um")
    assert tuple(link.name for link in camera.links_for(64e-6)) == (
        *("quantum_efficiency", "gain_nonuniformity", "dark_current", "shot_noise"),
        *("read_noise", "full_well", "quantisation"),
    )


REFERENCE = sim.reference_bench((4, 4))


def with_place(i, **changes):
    """The reference bench's stage with one place changed."""
    return tuple(place.replace(**changes) if j == i else place for j, place in enumerate(REFERENCE.stage))


def first_mask(name, macro_pixel):
    """Another panel as first mask, and an input of the same pitch, for that not to be the first complaint."""
    pitch = macro_pixel * sim.load_device(name).pixel_pitch
    panel = REFERENCE.input.device.replace(pixel_pitch=pitch)
    return {
        "stage": with_place(0, device=name, macro_pixel=macro_pixel),
        "input": REFERENCE.input.replace(device=panel, macro_pixel=1),
    }


@pytest.mark.parametrize(
    ("changes", "role", "span"),
    [
        (first_mask("holoeye_gaea2_telco", 17), "stage[0].device (holoeye_gaea2_telco)", "1400 to 1700 nm"),
        (first_mask("holoeye_pluto21_nir149", 8), "stage[0].device (holoeye_pluto21_nir149)", "1400 to 1700 nm"),
        (
            {"stage": with_place(1, device="thorlabs_ac254_100_c")},
            "stage[1].device (thorlabs_ac254_100_c)",
            "1050 to 1700 nm",
        ),
        (
            {"stage": with_place(2, relay="thorlabs_ac254_100_c")},
            "stage[2].relay (thorlabs_ac254_100_c)",
            "1050 to 1700 nm",
        ),
        (
            {"input": REFERENCE.input.replace(companion="holoeye_gaea2_telco")},
            "input.companion (holoeye_gaea2_telco)",
            "1400 to 1700 nm",
        ),
        ({"detector": "ingaas_640"}, "detector (ingaas_640)", "900 to 1700 nm"),
    ],
)
def test_a_device_out_of_its_wavelengths_is_refused(changes, role, span):
    """At 633 nm; the sentence names device, wavelength and range."""
    sentence = rf" at the source's wavelength: got 633\.0 nm; allowed: {span}; try: another device"
    with pytest.raises(sim.InputError, match=re.escape(role) + sentence):
        REFERENCE.replace(**changes)


@pytest.mark.parametrize("name", MIRRORS)
def test_a_stroke_that_is_a_length_holds_for_a_narrow_range(name):
    """It goes as 1/λ: within the range it is off by 2 % and a bit, elsewhere the device is refused."""
    device = sim.load_device(name)
    low, high = device.wavelength_range
    middle = 1550e-9 if name == "static_gold_mask" else 633e-9
    assert low < middle < high
    assert middle / low - 1 < 0.025
    assert 1 - middle / high < 0.025
    for wavelength in (532e-9, 1064e-9):
        with pytest.raises(sim.InputError, match=rf"\({name}\) at the source's wavelength: got {wavelength * 1e9:.0f}"):
            device.check_wavelength(wavelength, "a mask")


def test_mirrors_at_another_wavelength_need_a_stroke_of_their_own():
    """Refused on a green bench; with the range and stroke of that wavelength given, they stand on it."""
    green = {"catalogue": "hene_633", "wavelength": "532 nm"}
    changes = first_mask("ti_plm_p67", 6)
    changes["stage"] = (changes["stage"][0].replace(panel="mirrors"), *changes["stage"][1:])
    assert REFERENCE.replace(**changes).stage[0].device.name == "ti_plm_p67"
    with pytest.raises(
        sim.InputError, match=r"stage\[0\]\.device \(ti_plm_p67\) .* got 532\.0 nm; allowed: 620 to 646"
    ):
        REFERENCE.replace(source=green, **changes)
    own = {"catalogue": "ti_plm_p67", "wavelength_range": ["525 nm", "540 nm"], "stroke": "5.89 rad"}
    changes["stage"] = (changes["stage"][0].replace(device=own), *changes["stage"][1:])
    assert REFERENCE.replace(source=green, **changes).stage[0].device.stroke == 5.89


def test_the_source_may_be_at_fault():
    """A telecom laser on the visible bench: the first device it meets complains."""
    with pytest.raises(
        sim.InputError,
        match=r"input\.device \(holoeye_pluto21_vis_amplitude\) .* got 1550\.0 nm; allowed: 420 to 700 nm",
    ):
        REFERENCE.replace(source="dfb_1550")


def test_the_ends_of_the_range_are_within_it():
    lens = sim.load_device("thorlabs_ac254_100_a")
    low, high = lens.wavelength_range
    for wavelength in (low, high, (low + high) / 2):
        lens.check_wavelength(wavelength, "a lens")
    for wavelength in (low * (1 - 1e-9), high * (1 + 1e-9)):
        with pytest.raises(sim.InputError, match="a lens"):
            lens.check_wavelength(wavelength, "a lens")
    lens.replace(wavelength_range=None).check_wavelength(1.0, "anywhere")


# --- every device on a bench -----------------------------------------------------------------------------------------


def bench_for(name):
    """A small bench with this device in its place and ideal devices around it, at a wavelength it works at."""
    device = sim.load_device(name)
    low, high = device.wavelength_range or (633e-9, 633e-9)
    wavelength = device.wavelength if isinstance(device, sim.Laser) else (low + high) / 2
    modes = (1, 3) if getattr(device, "resolution", (2, 2))[0] == 1 or getattr(device, "axes", "") == "x" else (3, 2)
    axes = "x" if modes[0] == 1 else "both"
    pitch, length = 64e-6, 0.1
    if isinstance(device, sim.PhaseModulator | sim.AmplitudeModulator):
        pitch = device.pixel_pitch
        length = 6.2 * pitch**2 / wavelength
    elif isinstance(device, sim.Lens):
        pitch = math.sqrt(device.focal_length * wavelength / 6.2)
    common = {"name": "ideal", "resolution": (100, 100), "pixel_pitch": pitch}
    panel = sim.PhaseModulator(stroke=2 * math.pi, **common)
    writer = sim.AmplitudeModulator(**common)
    lens = sim.Lens(name="ideal", focal_length=length, diameter=0.5, axes=axes)
    source = sim.Laser(name="ideal", wavelength=wavelength, power=1e-9)
    is_a = {
        kind: isinstance(device, kind) for kind in (sim.PhaseModulator, sim.AmplitudeModulator, sim.Lens, sim.Laser)
    }
    mask = {"device": device if is_a[sim.PhaseModulator] else panel}
    middle = {"device": device if is_a[sim.Lens] else lens}
    detector = device if isinstance(device, sim.Camera | sim.Photodiode) else sim.Camera(**common)
    return sim.Bench(
        modes=modes,
        source=device if is_a[sim.Laser] else source,
        input={"device": device if is_a[sim.AmplitudeModulator] else writer},
        stage=(mask, middle, mask, middle),
        detector=detector,
        reference_arm=device if isinstance(device, sim.ReferenceArm) else None,
    )


@pytest.mark.parametrize("name", names())
def test_a_device_works_on_a_bench_and_never_amplifies(name):
    """All its effects on, as built: the largest singular value from input to output is at most 1, and light arrives."""
    bench = bench_for(name)
    state = sim.Realisations(0, (0, 1)).draw(bench, 1)
    simulator = sim.Pixel(bench, 1)
    generator = torch.Generator().manual_seed(1)
    commands = [
        sim.Command(2 * math.pi * torch.rand(shape, generator=generator, dtype=torch.float64))
        for shape in bench.command_shapes
    ]
    matrix = simulator.matrix(commands, state, moments=simulator.moments)
    assert torch.linalg.matrix_norm(matrix, 2).max() <= 1 + 1e-12
    assert torch.linalg.matrix_norm(matrix, 2).min() > 0.05
    x = torch.ones(1, 1, *bench.modes, dtype=torch.float64)
    light = simulator.illuminate(x, state)
    assert 0 < light.abs().square().sum() <= 2 * bench.photons_in(state).max()
