"""Rows 4 and 17: the bench without errors is the algebra, and its light adds up."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from benches import commands_for, field_for, lens_of, misaligned
from hypothesis import given, settings
from hypothesis import strategies as st

import photonic_acdc as pa
import simulators as sim
from simulators.energy import energy_books


@pytest.mark.parametrize("modes", [(1, 7), (1, 8), (3, 4)])
def test_row_4_the_bench_without_errors_is_the_layer(modes):
    """A F⁻¹ D F … as a dense numpy matrix, through the ideal bench and through ``Pixel`` by the exact mapping."""
    y, x = modes
    layer = pa.layers.AFDF(y * x, stages=1, shape=modes, init="random_phase", dtype=torch.float64)
    eye = np.eye(y * x).reshape(y * x, y, x)
    a, d = (mask.detach().numpy().reshape(y, x) for mask in layer.diagonals())
    dense = np.fft.ifft2(d * np.fft.fft2(eye * a)).reshape(y * x, y * x)  # rows in, rows out
    vectors = field_for((1, y * x))[0, :, 0]
    for simulator, options in ((sim.Ideal, {}), (sim.Pixel, {"order": 8})):
        bench = sim.reference_bench(modes, complex_masks=True, complex_input=True).only()
        optic = pa.to_optical(layer, bench, simulator=simulator, mapping="exact", x_max=10.0, **options)
        with pa.noise(optic, "off"):
            out = optic(vectors).detach().numpy()
        assert np.abs(out - vectors.numpy() @ dense).max() < 1e-10


def test_row_17_transmissions_multiply():
    """Every device's transmission, and nothing else, with a field that no edge cuts: to 1e-12 of the ratio."""
    bench = sim.reference_bench((1, 1), complex_masks=True)
    lossless = bench.without("*.loss").only("*.intensity_noise")
    lossy = bench.only("*.loss")
    for simulator in (sim.Pixel, sim.Wave):
        commands = commands_for(bench.command_shapes * 2, complex_masks=True)
        powers = []
        for changed in (lossless, lossy):
            cascade = simulator(changed, 2, order=2)
            field = cascade.illuminate(torch.ones(1, 1, 1, 1, dtype=torch.float64), changed.nominal(2))
            out = cascade(commands, field, changed.nominal(2))
            powers.append(float((out.abs() ** 2).sum()))
        product = math.prod(
            link.parameters[0].nominal for element in lossy.elements(2) for link in element.links if link.name == "loss"
        )
        assert powers[1] / powers[0] == pytest.approx(product, rel=1e-12)
        assert lossy.transmission(2) == pytest.approx(product, rel=1e-12)


@given(
    modes=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stages=st.integers(1, 2),
    wave=st.booleans(),
    figure=st.floats(1e-8, 1e-5),
    radius=st.floats(1e-4, 1e-2),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=20, deadline=None)
def test_the_books_balance(modes, stages, wave, figure, radius, seed):
    """Losses and what is detected sum to what the laser emits, to 1e-10; no cause gives light back."""
    bench = sim.reference_bench(modes, complex_masks=True, complex_input=True)
    bench = misaligned(lens_of(bench, figure_error=figure), sim.Misalignment.as_built())
    bench = bench.replace(source=bench.source.replace(beam_radius=radius))
    panel = bench.stage[0].device.replace(crosstalk_fwhm=5e-6, fill_factor=0.93, fill_model="dead_space")
    bench = bench.replace(
        stage=tuple(place.replace(device=panel) if j % 2 == 0 else place for j, place in enumerate(bench.stage)),
    )
    cascade = (sim.Wave if wave else sim.Pixel)(bench, stages, order=2)
    state = sim.Realisations(seed, (0, 1)).draw(bench, stages)
    values = torch.rand(1, 2, *modes, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    books = energy_books(cascade, commands_for(bench.command_shapes * stages, seed, complex_masks=True), values, state)
    total = books.detected + sum(loss.power for loss in books.losses)
    assert total == pytest.approx(books.emitted, rel=1e-10)
    reached = books.emitted - books.losses[0].power  # behind the neutral-density filter
    # Of sampled fields the power is known to the error of the samples.
    assert min(loss.power for loss in books.losses) >= -(1e-5 if wave else 1e-12) * reached
    assert sum(books.by("cause").values()) == pytest.approx(sum(books.by("address").values()))
    # An input that lies a pixel beside a mask of one row or column misses it.
    assert 0 <= books.detected < reached
    assert books.detected > 0 or min(modes) == 1


def test_the_books_name_the_cause():
    """A filter of density 4, a wide beam, a half-open input, a panel of 62 %: each where it belongs."""
    bench = sim.reference_bench((8, 8))
    bench = bench.replace(source=bench.source.replace(beam_radius=4 * 64e-6)).only("*.loss", "*.profile")
    cascade = sim.Pixel(bench, 1, order=3)
    commands = [sim.Command(torch.zeros(shape, dtype=torch.float64)) for shape in bench.command_shapes]
    books = energy_books(cascade, commands, torch.full((1, 1, 8, 8), 0.5, dtype=torch.float64), bench.nominal(1))
    by_place = {(loss.address, loss.cause): loss.power for loss in books.losses}
    assert by_place["source", "filter"] == pytest.approx(books.emitted * (1 - 1e-4))
    lit = math.erf(math.sqrt(2)) ** 2  # of a beam of this radius, on ± one radius; a little less as constants
    beside = by_place["source", "profile"] / (books.emitted * 1e-4)
    assert 1 - lit < beside < 1 - lit + 0.02
    left = books.emitted * 1e-4 - by_place["source", "profile"]
    assert by_place["input", "encoding"] == pytest.approx(left * 0.75, rel=1e-9)
    before = left / 4 - by_place["input", "transmission"]
    assert by_place["stage[0].mask[0]", "transmission"] == pytest.approx(before * (1 - 0.62), rel=1e-9)
    assert ("stage[0].mask[0]", "modulation") not in by_place or abs(by_place["stage[0].mask[0]", "modulation"]) < 1e-20
