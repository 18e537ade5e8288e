"""A bench: geometry, what its devices must satisfy, addresses, effects and the state that physics reads."""

from __future__ import annotations

import math
import pickle

import pytest
import scipy.constants
import torch

import simulators as sim

NM, UM, MM = 1e-9, 1e-6, 1e-3


def full_bench(modes=(3, 4)):
    """With every kind of element there is: companions, relays, a shared panel."""
    return sim.reference_bench(modes, complex_masks=True, complex_input=True)


def placed(bench, i, **changes):
    """``bench``'s stage with one place changed."""
    return tuple(place.replace(**changes) if j == i else place for j, place in enumerate(bench.stage))


# --- geometry --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("modes", "scale", "pixels", "pitch"),
    [
        ((8, 8), 15.45, 16, 64 * UM),
        ((5, 8), 15.45, 16, 64 * UM),
        ((31, 31), 61.8, 62, 32 * UM),
        ((9, 2), 61.8, 62, 32 * UM),
    ],
)
def test_the_reference_bench(modes, scale, pixels, pitch):
    """M = λf/(p₁p₂); P is M rounded up to an even number (physics 12)."""
    bench = sim.reference_bench(modes)
    assert bench.modes == modes
    assert bench.scales == pytest.approx((scale, scale), rel=1e-3)
    assert bench.scales[0] == pytest.approx(632.991 * NM * 100 * MM / pitch**2, rel=1e-12)
    assert bench.fourier_pixels == (pixels, pixels)
    assert bench.command_shapes == (modes, (pixels, pixels))
    assert bench.stage[0].pitch == pytest.approx(pitch, rel=1e-12)
    assert bench.focal_lengths == pytest.approx((0.1, 0.1))


def test_scales_of_two_different_lenses_and_pitches():
    """Each lens has its own M; P covers the larger one; an even M stays as it is."""
    bench = sim.reference_bench((4, 4))
    lens = bench.stage[1].device
    unequal = bench.replace(
        stage=(
            bench.stage[0],
            {"device": lens.replace(focal_length=0.08)},
            bench.stage[2].replace(macro_pixel=10),
            {"device": lens.replace(focal_length=0.12)},
        )
    )
    product = 64 * UM * 80 * UM
    expected = tuple(632.991 * NM * f / product for f in (0.08, 0.12))
    assert unequal.scales == pytest.approx(expected, rel=1e-12)
    assert unequal.fourier_pixels == (16, 16)  # M = 9.9 and 14.8


def test_an_even_scale_needs_no_more_pixels():
    """M = 16, 18, … as floats give it, a rounding error above or below, is P = 16, 18, …; a hair more is two more."""
    bench = sim.reference_bench((4, 4))
    for pixels in range(8, 42, 2):
        for more, extra in ((-1e-10, 0), (0, 0), (1e-10, 0), (1e-6, 2)):
            focal_length = (pixels + more) * (64 * UM) ** 2 / bench.source.wavelength
            lens = {"device": bench.stage[1].device.replace(focal_length=focal_length)}
            found = bench.replace(stage=(bench.stage[0], lens, bench.stage[2], lens)).fourier_pixels
            assert found == (pixels + extra,) * 2


def test_too_many_modes_are_refused_with_the_inequality():
    with pytest.raises(
        sim.InputError,
        match=r"32x32 modes need M ≥ 2N-1 = 63, but M = λf/\(p1·p2\) = 61\.82 \(λ = 632\.991 nm, f = 100 mm, "
        r"p1 = 32 um, p2 = 32 um\): try: at most 31 modes an axis, f ≥ 102 mm, or smaller macro-pixels",
    ):
        sim.reference_bench((32, 32))


@pytest.mark.parametrize(("modes", "needs"), [((9, 8), 17), ((2, 12), 23)])
def test_the_longer_axis_counts_and_the_remedies_help(modes, needs):
    bench = sim.reference_bench((8, 8))
    with pytest.raises(
        sim.InputError, match=rf"M ≥ 2N-1 = {needs}, but .* = 15\.45 .*at most 8 modes an axis"
    ) as caught:
        bench.replace(modes=modes)
    focal_length = float(str(caught.value).split("f ≥ ")[1].split(" mm")[0]) * MM
    lens = {"device": bench.stage[1].device.replace(focal_length=focal_length * 1.01)}
    longer = bench.replace(modes=modes, stage=(bench.stage[0], lens, bench.stage[2], lens))
    assert min(longer.scales) >= needs
    shorter = {"device": bench.stage[1].device.replace(focal_length=focal_length * 0.98)}
    with pytest.raises(sim.InputError, match="need M ≥ 2N-1"):
        bench.replace(modes=modes, stage=(bench.stage[0], shorter, bench.stage[2], shorter))
    assert bench.replace(modes=tuple(min(n, 8) for n in modes))


def test_the_shorter_lens_counts():
    bench = sim.reference_bench((8, 8))
    with pytest.raises(sim.InputError, match=r"f = 75 mm"):
        bench.replace(stage=placed(bench, 3, device="thorlabs_ac254_075_a"))


def test_a_single_mode_needs_no_scale():
    bench = sim.reference_bench((8, 8))
    assert bench.replace(modes=(1, 1), stage=placed(bench, 2, macro_pixel=200)).scales[0] < 1
    with pytest.raises(sim.InputError, match=r"modes: got \(0, 8\); allowed: at least one mode an axis"):
        sim.reference_bench((0, 8))


# --- what devices must satisfy ---------------------------------------------------------------------------------------


def test_a_lens_must_pass_the_light():
    """N·p₁ + P·p₂ = 8·64 µm + 16·64 µm = 1.5 mm."""
    bench = sim.reference_bench((8, 8))
    narrow = bench.stage[3].device.replace(diameter=1.5 * MM)
    with pytest.warns(
        sim.VignettingWarning,
        match=r"stage\[3\]: the light is up to N·p1 \+ P·p2 = 1\.54 mm wide at the lens, whose clear diameter is "
        r"1\.50 mm \(thorlabs_ac254_100_a\): what falls beside it is lost; try fewer modes",
    ):
        bench.replace(stage=placed(bench, 3, device=narrow))
    with pytest.raises(
        sim.InputError, match=r"stage\[3\]\.device\.diameter: got 60 um; allowed: more than a macro-pixel"
    ):
        bench.replace(stage=placed(bench, 3, device=narrow.replace(diameter=60e-6)))
    wide_enough = narrow.replace(diameter=1.537 * MM)
    assert bench.replace(stage=placed(bench, 3, device=wide_enough)).stage[3].device == wide_enough


@pytest.mark.parametrize(
    ("place", "resolution", "zone"),
    [("input", (64, 63), "64x64"), ("stage[0]", (63, 64), "64x64"), ("stage[2]", (127, 128), "128x128")],
)
def test_a_zone_must_fit_its_panel(place, resolution, zone):
    bench = sim.reference_bench((8, 8))

    def at(shape):
        if place == "input":
            device = bench.input.device.replace(resolution=shape)
            return bench.replace(input=bench.input.replace(device=device))
        i = int(place[6])
        device = bench.stage[i].device.replace(resolution=shape)
        return bench.replace(stage=placed(bench, i, device=device, panel=None))

    with pytest.raises(sim.InputError) as caught:
        at(resolution)
    assert str(caught.value).startswith(f"Bench: {place}: a zone of {zone} native pixels: allowed: the ")
    assert f"the {resolution[0]}x{resolution[1]} pixels of holoeye" in caught.value.allowed
    assert at(tuple(int(n) for n in zone.split("x")))


def test_the_input_is_imaged_onto_the_first_mask_pixel_by_pixel():
    bench = sim.reference_bench((8, 8))
    with pytest.raises(
        sim.InputError, match=r"input\.macro_pixel: .*: got 56 um; allowed: that of the first mask, 64 um"
    ):
        bench.replace(input=bench.input.replace(macro_pixel=7))
    # Other panels will do if their macro-pixels are alike.
    assert bench.replace(
        input=bench.input.replace(device=bench.input.device.replace(pixel_pitch=16 * UM), macro_pixel=4)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: {"stage": placed(b, 0, device=b.stage[1].device)}, r"stage\[0\]\.device: got lens; allowed: a mask"),
        (
            lambda b: {"stage": placed(b, 2, device=b.input.device)},
            r"stage\[2\]\.device: got amplitude_modulator; allowed: a mask",
        ),
        (
            lambda b: {"stage": placed(b, 3, device=b.stage[0].device)},
            r"stage\[3\]\.device: got phase_modulator; allowed: a lens",
        ),
        (
            lambda b: {"stage": placed(b, 0, companion=b.stage[0].device, double_phase=True)},
            r"stage\[0\]\.double_phase: got True; allowed: for a phase panel without a companion",
        ),
        (
            lambda b: {"input": b.input.replace(device=b.stage[0].device)},
            r"input\.device: got phase_modulator; allowed: an amplitude_modulator",
        ),
        (
            lambda b: {"input": b.input.replace(companion=b.input.device)},
            r"input\.companion: got amplitude_modulator; allowed: a phase panel",
        ),
        (lambda b: {"stage": b.stage[:3]}, r"stage\[3\]: missing"),
        (lambda b: {"modes": (8,)}, r"modes\[1\]: missing"),
        (lambda b: {"source": "basler_aca2440_75um"}, r"source: kind 'camera'; allowed: 'laser'"),
        (
            lambda b: {"detector": b.detector.replace(full_well=None)},
            r"detector\.bits: got 12; allowed: bits over a full well; try: full_well",
        ),
        (
            lambda b: {"source": {"catalogue": "hene_633", "powr": "1 mW"}},
            "source: unknown key 'powr'; did you mean power",
        ),
        (lambda b: {"source": "hene_63"}, "source: device 'hene_63' is not in the catalogue: .*did you mean hene_633"),
        (lambda b: {"reference_fill": 1.5}, "reference_fill: got 1.5; allowed: at most 1"),
    ],
)
def test_what_a_bench_refuses(change, message):
    bench = sim.reference_bench((8, 8))
    with pytest.raises(sim.InputError, match=message):
        bench.replace(**change(bench))


def test_a_macro_pixel_is_at_least_one_pixel():
    bench = sim.reference_bench((8, 8))
    with pytest.raises(sim.InputError, match="macro_pixel: got 0; allowed: at least 1"):
        bench.stage[0].replace(macro_pixel=0)
    with pytest.raises(TypeError, match="a lens has no pixels"):
        _ = bench.stage[1].pitch


# --- from a file -----------------------------------------------------------------------------------------------------


BENCH_TOML = """
name = "my bench"
modes = [3, 4]
source = { catalogue = "hene_633", power = "1 mW", optical_density = 2.5 }
detector = "hamamatsu_orca_fusion_bt"
reference_fill = 0.25

[input]
device = "holoeye_pluto21_vis_amplitude"
macro_pixel = 8

[[stage]]
device = "holoeye_pluto21_vis"
macro_pixel = 8
panel = "one"

[[stage]]
device = "thorlabs_ac254_100_a"

[[stage]]
device.catalogue = "holoeye_pluto21_vis"
device.flicker_depth = { value = 0.02, source = "our diode", confidence = "measured" }
macro_pixel = 9
companion = "holoeye_pluto21_vis_amplitude"
relay = "thorlabs_ac254_050_a"

[[stage]]
[stage.device]
kind = "lens"
name = "own lens"
focal_length = "120 mm"
diameter = "2 cm"
"""


def test_a_bench_from_a_file(tmp_path):
    path = tmp_path / "bench.toml"
    path.write_text(BENCH_TOML)
    bench = sim.Bench.load(path)
    panel = sim.load_device("holoeye_pluto21_vis")
    amplitude = sim.load_device("holoeye_pluto21_vis_amplitude")
    lens = sim.load_device("thorlabs_ac254_100_a")
    expected = sim.Bench(
        name="my bench",
        modes=(3, 4),
        source=sim.load_device("hene_633").replace(power=1e-3, optical_density=2.5),
        detector=sim.load_device("hamamatsu_orca_fusion_bt"),
        reference_fill=0.25,
        input=sim.Placed(device=amplitude, macro_pixel=8),
        stage=(
            sim.Placed(device=panel, macro_pixel=8, panel="one"),
            sim.Placed(device=lens),
            sim.Placed(
                device=panel.replace(flicker_depth={"value": 0.02, "source": "our diode", "confidence": "measured"}),
                macro_pixel=9,
                companion=amplitude,
                relay=sim.load_device("thorlabs_ac254_050_a"),
            ),
            sim.Placed(device=sim.Lens(name="own lens", focal_length=0.12, diameter=0.02)),
        ),
    )
    # The order in which sources are listed is no property of a bench.
    assert without_provenance(bench) == without_provenance(expected)
    assert bench.source.source_of("power").confidence == "user"
    assert bench.stage[2].device.source_of("flicker_depth").source == "our diode"
    assert bench.stage[0].device.source_of("flicker_depth").confidence == "nominal"


def without_provenance(bench):
    def strip(value):
        if isinstance(value, dict):
            return {key: strip(entry) for key, entry in value.items() if key != "provenance"}
        return [strip(entry) for entry in value] if isinstance(value, list) else value

    return strip(bench.to_dict())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"120 mm"', "0.12", r"bench\.toml: stage\[3\]\.device.*focal_length: got 0\.12, which has no unit"),
        ('power = "1 mW"', 'power = "1 mm"', r"bench\.toml: source\.power: got '1 mm', which has dimension \[length\]"),
        (
            "macro_pixel = 9",
            "macro_pixl = 9",
            r"bench\.toml: stage\[2\]: unknown key 'macro_pixl'; did you mean macro_pixel",
        ),
        (
            "thorlabs_ac254_050_a",
            "thorlabs_ac254_055_a",
            r"stage\[2\]\.relay: device .*did you mean .*thorlabs_ac254_050_a",
        ),
        ("modes = [3, 4]", "", r"bench\.toml: modes: missing"),
    ],
)
def test_an_error_in_a_file_names_file_and_place(tmp_path, old, new, message):
    path = tmp_path / "bench.toml"
    assert old in BENCH_TOML
    path.write_text(BENCH_TOML.replace(old, new, 1))
    with pytest.raises(sim.InputError, match=message):
        sim.Bench.load(path)


# --- addresses and effects -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stages", [1, 3])
def test_addresses_of_a_cascade(stages):
    addresses = [element.address for element in sim.reference_bench((4, 4)).elements(stages)]
    expected = ["source", "input", "input.relay"]
    for s in range(stages):
        expected += [f"stage[{s}].mask[0]", f"stage[{s}].lens[0]", f"stage[{s}].mask[1]", f"stage[{s}].lens[1]"]
    assert addresses == [*expected, "detector"]


def test_addresses_of_companions():
    addresses = [element.address for element in full_bench().elements(1)]
    assert addresses == [
        "source",
        *("input", "input.phase", "input.relay"),
        *("stage[0].mask[0]", "stage[0].mask[0].amplitude", "stage[0].mask[0].relay", "stage[0].lens[0]"),
        *("stage[0].mask[1]", "stage[0].mask[1].amplitude", "stage[0].mask[1].relay", "stage[0].lens[1]"),
        "detector",
    ]


def test_effects_of_a_cascade_in_the_order_of_the_light():
    mask = ["quantisation", "lut_residual", "flicker", "phase_error", "zero_order_leak", "loss"]
    stage = [("mask[{}]", name) for name in mask] + [("lens[{}]", "scale_error"), ("lens[{}]", "loss")]
    expected = ["source.intensity_noise"]
    expected += [f"input.{name}" for name in ("quantisation", "extinction", "loss", "relay.loss")]
    for s in (0, 1):
        for i in (0, 1):
            expected += [f"stage[{s}].{place.format(i)}.{name}" for place, name in stage]
    expected += [
        f"detector.{name}"
        for name in (
            *("quantum_efficiency", "gain_nonuniformity", "dark_current", "shot_noise"),
            *("read_noise", "full_well", "quantisation"),
        )
    ]
    effects = sim.reference_bench((4, 4)).effects(2)
    assert [str(effect) for effect in effects] == expected
    kinds = {effect.name: effect.kind for effect in effects}
    assert {name for name, kind in kinds.items() if kind == "mismatch"} == {
        *("lut_residual", "phase_error", "scale_error", "gain_nonuniformity"),
    }
    assert {name for name, kind in kinds.items() if kind == "dynamic"} == {
        *("intensity_noise", "flicker", "dark_current", "shot_noise", "read_noise"),
    }


def test_an_effect_reference_reads_as_its_address():
    assert str(sim.EffectRef("stage[0].mask[1]", "flicker", "dynamic")) == "stage[0].mask[1].flicker"


def test_an_absent_figure_is_no_effect():
    bench = sim.reference_bench((4, 4))
    panel = bench.stage[0].device.replace(flicker_depth=None, phase_error=None, bits=None)
    detector = bench.detector.replace(shot_noise=False, bits=None)
    plain = bench.replace(stage=placed(bench, 0, device=panel, panel=None), detector=detector)
    gone = {str(e) for e in bench.effects(1)} - {str(e) for e in plain.effects(1)}
    assert gone == {
        *("stage[0].mask[0].flicker", "stage[0].mask[0].phase_error", "stage[0].mask[0].quantisation"),
        *("detector.shot_noise", "detector.quantisation"),
    }


def test_rippling_panels_are_listed_once():
    """Two zones of one panel ripple together; panels of their own do not."""
    bench = sim.reference_bench((4, 4))
    assert bench.rippling_panels(2) == ("panel[slm]",)
    alone = bench.replace(stage=placed(bench, 2, panel=None))
    assert alone.rippling_panels(2) == ("panel[slm]", "stage[0].mask[1]", "stage[1].mask[1]")
    assert bench.without("*.flicker").rippling_panels(2) == ()


def test_a_cascade_has_a_stage():
    with pytest.raises(sim.InputError, match="stages: got 0; allowed: at least 1"):
        sim.reference_bench((4, 4)).elements(0)


# --- switching effects -----------------------------------------------------------------------------------------------


def owners(bench, stages):
    """Which effects keep which figure of the state."""
    found: dict[str, set[str]] = {}
    for element in bench.elements(stages):
        for address, effect, parameter in element.figures():
            found.setdefault(f"{address}.{parameter.name}", set()).add(f"{element.address}.{effect}")
    return found


@pytest.mark.parametrize("realisations", [(0,), (0, 3)])
def test_switching_one_effect_leaves_every_other_draw_bit_identical(realisations):
    bench, stages = full_bench(), 2
    draws = sim.Realisations(5, realisations)
    every, owned = draws.draw(bench, stages), owners(bench, stages)
    drawn = {key for key, value in every.items() if not torch.equal(value, bench.nominal(stages)[key].expand_as(value))}
    assert len(drawn) > 10
    addresses = [element.address for element in bench.elements(stages)]
    for effect in map(str, bench.effects(stages)):
        without, alone = bench.without(effect), bench.only(effect)
        assert [str(e) for e in without.effects(stages)] == [str(e) for e in bench.effects(stages) if str(e) != effect]
        assert [str(e) for e in alone.effects(stages)] == [effect]
        assert [e.address for e in without.elements(stages)] == addresses
        assert [e.address for e in alone.elements(stages)] == addresses

        left = draws.draw(without, stages)
        for key, value in every.items():
            if owned[key] != {effect}:
                assert torch.equal(left[key], value), f"{key} changed without {effect}"
            elif key in left:  # a figure that physics always reads: at its nominal value
                assert torch.equal(left[key], bench.nominal(stages)[key])
        assert set(left) <= set(every)

        kept = draws.draw(alone, stages)
        for key, value in kept.items():
            expected = every[key] if effect in owned[key] else bench.nominal(stages)[key]
            assert torch.equal(kept[key], expected), f"{key} differs with only {effect}"
            assert value.shape[0] in (1, len(realisations))
        assert {key for key, names in owned.items() if effect in names} <= set(kept)


def test_a_draw_does_not_depend_on_how_many_are_drawn():
    """Figures of a panel that several zones share included."""
    bench = full_bench()
    several = sim.Realisations(5, (0, 1, 2)).draw(bench, 2)
    for r in range(3):
        alone = sim.Realisations(5, (r,)).draw(bench, 2)
        assert set(alone) == set(several)
        for key, value in several.items():
            assert torch.equal(alone[key][0], value[r if value.shape[0] > 1 else 0]), key


def test_only_none_is_an_ideal_bench():
    bench = full_bench().only()
    assert bench.effects(2) == ()
    draws = sim.Realisations(0, (0, 1)).draw(bench, 2)
    assert all(value.shape[0] == 1 for value in draws.values())
    assert set(draws) == {
        *("source.power", "detector.exposure", "detector.reference"),
        *(f"stage[{s}].lens[{i}].scale" for s in (0, 1) for i in (0, 1)),
    }


def test_patterns():
    bench = sim.reference_bench((4, 4))

    def names(switched):
        return {str(effect) for effect in switched.effects(2)}

    assert names(bench.only("*.flicker")) == {f"stage[{s}].mask[{i}].flicker" for s in (0, 1) for i in (0, 1)}
    assert names(bench.only("stage[1].lens[0].*")) == {"stage[1].lens[0].scale_error", "stage[1].lens[0].loss"}
    assert names(bench.only("*.flicker", "detector.read_noise")) == names(bench.only("*.flicker")) | {
        "detector.read_noise"
    }
    # Brackets and dots stand for themselves; one pattern after the other adds up.
    assert names(bench.without("stage[0].*").without("stage[1].*")) == {
        name for name in names(bench) if not name.startswith("stage")
    }
    assert names(bench.without("*.flicker").only("stage[0].mask[0].*")) == {
        f"stage[0].mask[0].{name}"
        for name in ("quantisation", "lut_residual", "phase_error", "zero_order_leak", "loss")
    }
    assert names(bench.only("*")) == names(bench)


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("*.flcker", r"did you mean \*\.flicker"),
        ("detector.red_noise", r"did you mean \*\.read_noise"),
        ("stage[0].mask[0].flikcer", r"did you mean stage\[0\]\.mask\[0\]\.flicker"),
        ("flicker", r"did you mean \*\.flicker"),
        ("stage[0]", "did you mean|one of"),
    ],
)
def test_a_pattern_that_matches_nothing_is_refused_in_a_short_sentence(pattern, hint):
    bench = sim.reference_bench((4, 4))
    for switch in (bench.only, bench.without):
        with pytest.raises(sim.InputError, match=rf"matches nothing: allowed: {hint}") as caught:
            switch(pattern)
        assert len(str(caught.value)) < 600


def test_an_effect_that_is_switched_off_may_still_be_named():
    bench = sim.reference_bench((4, 4)).without("*.flicker")
    assert bench.without("*.flicker").effects(1) == bench.effects(1)
    assert bench.only("*.flicker").effects(1) == ()


# --- state -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_nominal_state(dtype):
    bench = full_bench((3, 4))
    state = bench.nominal(2, dtype=dtype)
    assert all(value.dtype == dtype for value in state.values())
    shapes = {
        "source.power": (),
        "detector.exposure": (),
        "detector.reference": (),
        "detector.gain_nonuniformity": (3, 4),
        "input.phase.phase_error": (3, 4),
        "input.phase.lut_residual": (6,),
        "input.extinction": (),
        "panel[slm].lut_residual": (6,),
        "panel[slm].flicker": (),
        "stage[0].mask[0].phase_error": (3, 4),
        "stage[1].mask[1].phase_error": (16, 16),
        "stage[1].mask[1].stroke": (),
        "stage[1].lens[1].scale": (),
    }
    for key, shape in shapes.items():
        assert state[key].shape == (1, 1, *shape), key
    assert not [key for key in state if key.startswith("stage") and "lut" in key]  # kept by the panel
    values = {
        "source.power": 2e-3 * 1e-4,
        "input.extinction": 500**-0.5,
        "panel[slm].flicker": 0.014,
        "stage[0].mask[0].phase_error": 0.0,
        "stage[0].mask[0].transmission": 0.62,
        "stage[0].mask[0].amplitude.transmission": 0.55,
        "stage[0].mask[0].relay.transmission": 0.985**2,
        "stage[0].lens[0].scale": 1.0,
        "detector.gain_nonuniformity": 1.0,
    }
    for key, value in values.items():
        torch.testing.assert_close(state[key], torch.full_like(state[key], value), msg=key)


def test_the_figures_of_a_window_of_pixels():
    """64 µm of 3.45 µm pixels: 18 an axis, n = 324. Wells and dark electrons add, noise adds in quadrature."""
    bench = sim.reference_bench((8, 8))
    assert bench.detector.pixels_per_mode(64 * UM) == 18**2
    state = bench.nominal(1)
    n = 18**2
    assert state["detector.full_well"].item() == pytest.approx(10700 * n)
    assert state["detector.dark_current"].item() == pytest.approx(5 * n)
    assert state["detector.read_noise"].item() == pytest.approx(2.4 * math.sqrt(n))
    assert state["detector.step"].item() == pytest.approx(10700 / 4095 * math.sqrt(n))


@pytest.mark.parametrize(("window", "pixels"), [(1.0, 18**2), (0.5, 9**2), (0.1, 1), (0.01, 1)])
def test_whole_pixels_within_the_window(window, pixels):
    camera = sim.load_device("basler_aca2440_75um").replace(window=window)
    assert camera.pixels_per_mode(64 * UM) == pixels


def test_pixels_that_fit_exactly_count():
    """0.3 mm of 0.1 mm pixels is three, whatever the rounding of 0.3/0.1."""
    camera = sim.Camera(name="c", resolution=(9, 9), pixel_pitch=1e-4)
    assert camera.pixels_per_mode(3e-4) == 9


def test_drawn_spreads():
    """Standard deviation over 400 realisations within 5/√(2n) of the spec."""
    bench, count = sim.reference_bench((4, 4)), 400
    state = sim.Realisations(1, tuple(range(count))).draw(bench, 1)
    n = {"gain": 18**2}
    spreads = {
        "stage[0].mask[0].phase_error": (0.0, 0.1),
        "panel[slm].lut_residual": (0.0, 0.03),
        "stage[0].lens[1].scale": (1.0, 0.005),
        "detector.gain_nonuniformity": (1.0, 0.005 / math.sqrt(n["gain"])),
    }
    for key, (mean, spread) in spreads.items():
        values = state[key]
        assert values.shape[:2] == (count, 1)
        total = values.numel()
        assert abs(values.mean().item() - mean) < 5 * spread / math.sqrt(total)
        rms = ((values - mean) ** 2).mean().sqrt().item()
        assert abs(rms / spread - 1) < 5 / math.sqrt(2 * total)


def test_a_prefix_tells_two_cascades_apart_but_not_the_zones_of_one_panel():
    bench = sim.reference_bench((4, 4))
    draws = sim.Realisations(1, (0, 1))
    plain, other = draws.draw(bench, 1), draws.draw(bench, 1, prefix="layer2.")
    assert set(plain) == set(other)
    same = {key for key in plain if torch.equal(plain[key], other[key])}
    assert "panel[slm].lut_residual" in same
    for key in ("stage[0].mask[0].phase_error", "stage[0].lens[0].scale", "detector.gain_nonuniformity"):
        assert key not in same
    assert torch.equal(
        draws.draw(bench, 1, prefix="layer2.")["stage[0].lens[0].scale"], other["stage[0].lens[0].scale"]
    )


def test_zones_and_stages_have_their_own_static_errors():
    state = sim.Realisations(1, (0,)).draw(sim.reference_bench((16, 16)), 2)
    errors = [state[f"stage[{s}].mask[0].phase_error"] for s in (0, 1)]
    assert not torch.equal(*errors)
    scales = {state[f"stage[{s}].lens[{i}].scale"].item() for s in (0, 1) for i in (0, 1)}
    assert len(scales) == 4


# --- light -----------------------------------------------------------------------------------------------------------


def test_transmission_is_the_product_of_all_devices():
    """Phase panels pass 0.62, amplitude panels 0.55, lenses 0.985, and a relay is two lenses."""
    bench = sim.reference_bench((4, 4))
    start = 0.55 * 0.985**2
    assert bench.transmission(1) == pytest.approx(start * (0.62 * 0.985) ** 2, rel=1e-12)
    assert bench.transmission(3) == pytest.approx(start * (0.62 * 0.985) ** 6, rel=1e-12)
    assert bench.transmission(3, place="input") == pytest.approx(start, rel=1e-12)
    assert bench.transmission(3, place="stage[1]") == pytest.approx((0.62 * 0.985) ** 2, rel=1e-12)
    masks = 0.62 * 0.55 * 0.985**2 * 0.985
    assert full_bench().transmission(2) == pytest.approx(0.62 * start * masks**4, rel=1e-12)
    assert bench.without("*.loss").transmission(3) == 1
    assert bench.without("stage[0].mask[0].loss").transmission(1) == pytest.approx(bench.transmission(1) / 0.62)


def test_photons_in():
    """P·10^-OD·t·λ/(hc)."""
    bench = sim.reference_bench((4, 4)).replace(
        source=sim.Laser(name="l", wavelength=633 * NM, power=3e-3, optical_density=2.5),
        detector=sim.load_device("basler_aca2440_75um").replace(exposure=2e-3),
    )
    energy = 3e-3 * 10**-2.5 * 2e-3
    expected = energy * 633 * NM / (scipy.constants.h * scipy.constants.c)
    photons = bench.photons_in(bench.nominal(1))
    assert photons.shape == (1, 1)
    assert photons.item() == pytest.approx(expected, rel=1e-12)
    # It is read from the state, so that power and exposure can be swept and differentiated.
    state = dict(bench.nominal(1))
    state["source.power"] = state["source.power"] * torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)[:, None]
    torch.testing.assert_close(bench.photons_in(state), expected * torch.tensor([[1.0], [2.0], [5.0]]).double())


# --- one value, everywhere -------------------------------------------------------------------------------------------


def test_a_bench_is_a_value():
    """Hashable, picklable, and equal benches give the very same elements (they are cached by value)."""
    bench = sim.reference_bench((8, 8))
    copy = pickle.loads(pickle.dumps(bench))
    assert copy == bench
    assert hash(copy) == hash(bench)
    assert copy.elements(2) is bench.elements(2)
    assert bench.without("*.flicker") != bench
    assert {bench, copy, sim.reference_bench((8, 8))} == {bench}
    one, other = (sim.Realisations(0, (0,)).draw(b, 1) for b in (bench, copy))
    assert all(torch.equal(one[key], other[key]) for key in one)
