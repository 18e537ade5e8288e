"""The other structured layers against dense matrices built entry by entry, independent optima and another package."""

from __future__ import annotations

import copy
import importlib.util
import math
import pathlib
import sys
import types
import warnings

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from photonic_acdc.layers.acdc import ACDC
from photonic_acdc.layers.afdf import AFDF
from photonic_acdc.layers.circulant import BlockCirculant, Circulant
from photonic_acdc.layers.fastfood import AdaptiveFastfood, Fastfood, fwht
from photonic_acdc.layers.fit import fit
from photonic_acdc.layers.hybrid import Hybrid
from photonic_acdc.layers.low_rank import LowRank
from photonic_acdc.layers.monarch import Monarch
from photonic_acdc.layers.tensor_train import TensorTrain, balanced_factors
from simulators import InputError

SIZES = [(1, 1), (2, 2), (7, 7), (6, 6), (16, 16), (13, 5), (5, 13), (12, 8), (8, 12), (1, 4), (9, 1)]


def circulant(i, o, **options):
    return Circulant(i, o, **options)


def unsigned(i, o, **options):
    return Circulant(i, o, signs=False, **options)


def block_circulant(i, o, **options):
    return BlockCirculant(i, o, block=math.ceil(max(i, o) / 3), **options)


def low_rank(i, o, **options):
    return LowRank(i, o, rank=max(1, min(i, o) // 2), **options)


def fastfood(i, o, **options):
    return Fastfood(i, o, **options)


def adaptive_fastfood(i, o, **options):
    return AdaptiveFastfood(i, o, **options)


def tensor_train(i, o, **options):
    first, last = balanced_factors(i, 3), balanced_factors(o, 3)[::-1]
    return TensorTrain(i, o, rank=min(2, first[0] * last[0], first[-1] * last[-1]), **options)


def monarch(i, o, **options):
    return Monarch(i, o, blocks=math.gcd(i, o, 4), **options)


MAKES = [circulant, unsigned, block_circulant, low_rank, fastfood, adaptive_fastfood, tensor_train, monarch]


def numpy_of(tensor):
    return tensor.detach().numpy()


def random_bias(layer):
    """As it is after training."""
    with torch.no_grad():
        if layer.bias is not None:
            layer.bias.normal_()
    return layer


# --- dense matrices, entry by entry ----------------------------------------------------------------------------------


def dense(layer):
    """W ``[in, out]`` from the definition, without the layer's own code."""
    rows, columns = layer.in_features, layer.out_features
    w = np.zeros((rows, columns))
    match layer:
        case Circulant():
            c, n = numpy_of(layer.c), max(rows, columns)
            for i, j in np.ndindex(rows, columns):
                w[i, j] = c[(j - i) % n] * (1.0 if layer.signs is None else layer.signs[i].item())
        case BlockCirculant():
            c, b = numpy_of(layer.c), layer.block
            for i, j in np.ndindex(rows, columns):
                w[i, j] = c[i // b, j // b, (j % b - i % b) % b]
        case LowRank():
            u, v = numpy_of(layer.u), numpy_of(layer.v)
            for i, j in np.ndindex(rows, columns):
                w[i, j] = sum(u[i, r] * v[r, j] for r in range(layer.rank))
        case Fastfood() | AdaptiveFastfood():
            n = 2 ** math.ceil(math.log2(max(rows, columns)))
            h = scipy.linalg.hadamard(n) / math.sqrt(n)
            order = np.zeros((n, n))
            for k in range(n):
                order[k, layer.order[k].item()] = 1
            b, g, s = (np.pad(numpy_of(t), (0, n - len(t))) for t in (layer.b, layer.g, layer.s))
            v = np.diag(s) @ h @ np.diag(g) @ order @ h @ np.diag(b)
            w = (v.T * (layer.scale.item() if isinstance(layer, Fastfood) else 1))[:rows, :columns]
        case TensorTrain():
            cores = [numpy_of(core) for core in layer.cores]
            for i, j in np.ndindex(rows, columns):
                places = zip(np.unravel_index(i, layer.in_shape), np.unravel_index(j, layer.out_shape), strict=True)
                chain = np.eye(1)
                for core, (m, n) in zip(cores, places, strict=True):
                    chain = chain @ core[:, m, n]
                w[i, j] = chain[0, 0]
        case Monarch():
            n = layer.blocks
            right = scipy.linalg.block_diag(*(part.T for part in numpy_of(layer.right)))
            left = scipy.linalg.block_diag(*(part.T for part in numpy_of(layer.left)))
            # Columns, as in the paper: M = P2 L P1 R, with P1 and P2 transpositions of grids.
            p1 = np.eye(n * n)[np.arange(n * n).reshape(n, n).T.ravel()]
            p2 = np.eye(columns)[np.arange(columns).reshape(n, columns // n).T.ravel()]
            w = (p2 @ left @ p1 @ right).T
        case Hybrid():
            w = numpy_of(layer.structured.matrix()).copy()
            if layer.rank:
                w = w + numpy_of(layer.u) @ numpy_of(layer.v)
            for k in range(layer.entries):
                w[layer.row[k].item(), layer.column[k].item()] += numpy_of(layer.values)[k]
    return w


@pytest.mark.parametrize(("i", "o"), SIZES)
@pytest.mark.parametrize("make", MAKES)
def test_equals_its_dense_matrix(make, i, o):
    layer = random_bias(make(i, o, dtype=torch.float64))
    w = dense(layer)
    assert np.linalg.norm(w) > 1e-3
    assert np.abs(numpy_of(layer.matrix()) - w).max() < 1e-12
    for shape in ((i,), (4, i), (2, 3, i), (0, i)):
        x = torch.randn(shape, dtype=torch.float64)
        y = layer(x)
        assert y.shape == (*shape[:-1], o)
        assert np.abs(numpy_of(y) - (x.numpy() @ w + numpy_of(layer.bias))).max(initial=0) < 1e-12
    x = torch.randn(3, i, dtype=torch.float64)
    assert (layer.collapse()(x) - layer(x)).abs().max() < 1e-12
    assert make(i, o, bias=False).bias is None


@pytest.mark.parametrize(("i", "o"), [(5, 5), (6, 4), (4, 6)])
@pytest.mark.parametrize("make", MAKES)
def test_gradcheck(make, i, o):
    layer = random_bias(make(i, o, dtype=torch.float64))
    check_gradients(layer, torch.randn(3, i, dtype=torch.float64))


def check_gradients(layer, x):
    names = [name for name, _ in layer.named_parameters()]
    values = tuple(p.detach().clone().requires_grad_() for p in layer.parameters())
    assert all(p.abs().max() > 0 for p in values)

    def out(x, *values):
        y = torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))
        return torch.view_as_real(y) if y.is_complex() else y

    assert torch.autograd.gradcheck(out, (x.requires_grad_(), *values))
    assert all(grad.abs().max() > 0 for grad in torch.autograd.grad(out(x, *values).square().sum(), values))


# --- sizes, counts, initial values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "count"),
    [
        (Circulant(7, 10), 10 + 10),
        (Circulant(10, 7, bias=False), 10),
        (BlockCirculant(12, 8, block=4), 3 * 2 * 4 + 8),
        (BlockCirculant(13, 5, block=4, bias=False), 4 * 2 * 4),
        (BlockCirculant(6, 4, block=1, bias=False), 6 * 4),
        (LowRank(12, 7, rank=3), 3 * (12 + 7) + 7),
        (Fastfood(12, 7), 1 + 7),
        (AdaptiveFastfood(16, bias=False), 3 * 16),
        (AdaptiveFastfood(12, 7), 12 + 16 + 7 + 7),
        (TensorTrain(64, 27, rank=2), (4 * 3 * 2) + (2 * 4 * 3 * 2) + (2 * 4 * 3) + 27),
        (TensorTrain(12, 6, rank=(3, 5), in_shape=(3, 2, 2), out_shape=(1, 2, 3), bias=False), 9 + 60 + 30),
        (Monarch(64, blocks=8, bias=False), 2 * 64**1.5),
        (Monarch(64, 32, blocks=4), 4 * (64 + 32) + 32),
        (Hybrid(Circulant(6, bias=False), rank=2, entries=5), 6 + 2 * 12 + 5),
    ],
)
def test_documented_counts(layer, count):
    assert sum(p.numel() for p in layer.parameters()) == count


@pytest.mark.parametrize("make", MAKES)
def test_variance_is_kept_at_the_start(make):
    """E Σ_i W_ij² = 1, over draws."""
    generator = torch.Generator().manual_seed(3)
    powers = [make(12, 8, generator=generator).matrix().detach().square().sum(0).mean() for _ in range(800)]
    mean, error = np.mean(powers), np.std(powers) / math.sqrt(len(powers))
    assert error < 0.06
    assert abs(mean - 1) < 4 * error + 1e-6


def test_fastfood_has_the_spectrum_of_the_paper():
    """Rows as long as normal ones: χ² of N degrees of freedom over N; every kernel value has the right mean."""
    generator = torch.Generator().manual_seed(4)
    lengths = torch.cat([Fastfood(32, generator=generator).matrix().detach().square().sum(0) for _ in range(200)])
    assert abs(lengths.mean() - 1) < 0.02
    assert abs(lengths.var() / (2 / 32) - 1) < 0.15


@pytest.mark.parametrize("make", MAKES)
def test_modules_behave(make):
    layer = random_bias(make(12, 8, generator=torch.Generator().manual_seed(5)))
    twin = make(12, 8, generator=torch.Generator().manual_seed(6))
    x = torch.randn(2, 3, 12)
    assert not torch.equal(layer(x), twin(x))
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x), twin(x))
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))
    wide = copy.deepcopy(layer).to(torch.float64)
    assert wide(x.double()).dtype == torch.float64
    assert (wide(x.double()) - layer(x)).abs().max() < 1e-5
    compiled = torch.compile(layer, backend="aot_eager")
    assert torch.allclose(compiled(x), layer(x), atol=1e-6)
    assert "in_features=12, out_features=8" in repr(layer)


@pytest.mark.parametrize("make", MAKES)
def test_the_generator_alone_decides(make):
    state = torch.random.get_rng_state()
    one, two = (make(12, 8, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(one.state_dict()[name], value) for name, value in two.state_dict().items())
    buffers = [b.clone() for b in one.buffers()]
    for layer in (one, two):
        layer.reset_parameters(torch.Generator().manual_seed(7))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(one.state_dict()[name], value) for name, value in two.state_dict().items())
    assert all(torch.equal(b, before) for b, before in zip(one.buffers(), buffers, strict=True))
    fresh = make(12, 8, generator=torch.Generator().manual_seed(5))
    assert torch.equal(one.matrix(), fresh.matrix()) == (make is fastfood)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Circulant, {}),
        (BlockCirculant, {"block": 3}),
        (LowRank, {"rank": 2}),
        (Fastfood, {}),
        (AdaptiveFastfood, {}),
        (TensorTrain, {"rank": 2}),
        (Monarch, {"blocks": 2}),
    ],
)
def test_like(kind, options):
    layer = kind.like(nn.Linear(12, 8, bias=False, dtype=torch.float64), **options)
    assert (layer.in_features, layer.out_features, layer.bias) == (12, 8, None)
    assert all(p.dtype == torch.float64 for p in layer.parameters())
    assert len(kind.like(nn.Linear(12, 8), **options).bias) == 8


@pytest.mark.parametrize(
    "layer",
    [
        LowRank(12, 8, rank=3, bias=False),
        TensorTrain(12, 8, rank=2, bias=False),
        TensorTrain(24, 6, rank=(2, 3), in_shape=(2, 3, 4), out_shape=(3, 1, 2), bias=False),
        Monarch(12, 8, blocks=4, bias=False),
    ],
)
def test_flops_of_dense_products_equal_torch_s_count(layer):
    with FlopCounterMode(display=False) as counter:
        layer(torch.randn(1, layer.in_features))
    assert counter.get_total_flops() == layer.flops()


def test_flops_of_transforms():
    n = 16
    half = n // 2 + 1
    assert Circulant(n, bias=False, signs=False).flops() == 2 * 2.5 * n * 4 + 6 * half
    assert Circulant(n).flops() == Circulant(n, bias=False, signs=False).flops() + 2 * n
    assert BlockCirculant(n, block=n, bias=False).flops() == Circulant(n, bias=False, signs=False).flops()
    assert BlockCirculant(4, 2, block=2).flops() == (2 + 1) * 2.5 * 2 * 1 + 2 * (6 * 2 + 2) + 2
    assert Fastfood(n).flops() == AdaptiveFastfood(n).flops() == 2 * n * 4 + 4 * n
    plain = Circulant(n)
    assert Hybrid(plain, rank=2, entries=7).flops() == plain.flops() + 2 * (2 * 32 + 7) + 16
    light = AFDF(n)
    assert Hybrid(light, entries=7).flops() == light.flops() + 8 * 7


# --- Walsh–Hadamard transform ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 4, 8, 32, 64, 128, 512, 4096])
def test_fwht_equals_the_hadamard_matrix(n):
    x = torch.randn(2, 3, n, dtype=torch.float64)
    wanted = x.numpy() @ (scipy.linalg.hadamard(n) / math.sqrt(n))
    assert np.abs(fwht(x).numpy() - wanted).max() < 1e-12
    assert (fwht(fwht(x)) - x).abs().max() < 1e-12
    z = torch.complex(x, x.flip(-1))
    assert torch.allclose(fwht(z), torch.complex(fwht(z.real), fwht(z.imag)))
    assert fwht(x.float()).dtype == torch.float32
    assert fwht(x[0, 0]).shape == (n,)


def test_fwht_gradients():
    x = torch.randn(2, 256, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(fwht, x, fast_mode=True)


# --- projections -----------------------------------------------------------------------------------------------------


def project(layer, w):
    """Relative error after the closed form."""
    w = torch.as_tensor(w)
    with torch.no_grad():
        assert layer._project(w)
        return ((w - layer.matrix()).norm() / w.norm()).item()


@pytest.mark.parametrize(("i", "o"), SIZES)
@pytest.mark.parametrize("make", [make for make in MAKES if make is not adaptive_fastfood])
def test_a_matrix_of_the_class_is_reproduced(make, i, o):
    target = make(i, o, dtype=torch.float64)
    if make is fastfood:
        target.scale.data.fill_(-3.7)
    layer = copy.deepcopy(target)
    for p in layer.parameters():
        p.data.normal_()
    assert project(layer, target.matrix().detach()) < 1e-10


def test_adaptive_fastfood_has_no_closed_form():
    layer = AdaptiveFastfood(4)
    assert not getattr(layer, "_project", lambda matrix: False)(torch.eye(4))


def in_span(layer, w):
    """Least-squares error of W over a layer whose matrix is linear in its one parameter, by brute force."""
    (parameter,) = layer.parameters()
    basis = []
    for k in range(parameter.numel()):
        with torch.no_grad():
            parameter.zero_()
            parameter.view(-1)[k] = 1
        basis.append(dense(layer).ravel())
    basis = np.stack(basis, axis=1)
    found = basis @ np.linalg.lstsq(basis, w.ravel(), rcond=None)[0]
    return np.linalg.norm(w.ravel() - found) / np.linalg.norm(w)


@pytest.mark.parametrize(("i", "o"), [(7, 7), (6, 6), (8, 8), (13, 5), (5, 13), (9, 8)])
@pytest.mark.parametrize("make", [circulant, unsigned, block_circulant, fastfood])
def test_linear_projections_equal_least_squares(make, i, o):
    w = np.random.default_rng(0).normal(size=(i, o))
    layer = make(i, o, bias=False, dtype=torch.float64)
    wanted = in_span(copy.deepcopy(layer), w)
    assert wanted > 0.05
    assert abs(project(layer, w) - wanted) < 1e-12


def tail(matrix, rank):
    """Σ of the squared singular values behind the first."""
    return (np.linalg.svd(matrix, compute_uv=False)[rank:] ** 2).sum()


@pytest.mark.parametrize(("i", "o"), [(12, 8), (8, 12), (16, 16)])
def test_low_rank_and_monarch_projections_are_the_nearest(i, o):
    w = np.random.default_rng(1).normal(size=(i, o))
    size = np.linalg.norm(w)
    layer = LowRank(i, o, rank=3, dtype=torch.float64)
    assert abs(project(layer, w) - math.sqrt(tail(w, 3)) / size) < 1e-12
    assert abs(layer.u.norm() - layer.v.norm()) < 1e-10
    layer = Monarch(i, o, blocks=4, dtype=torch.float64)
    slices = [w[k * i // 4 : (k + 1) * i // 4, j::4] for k in range(4) for j in range(4)]
    assert abs(project(layer, w) - math.sqrt(sum(tail(part, 1) for part in slices)) / size) < 1e-12


def test_tensor_train_projection():
    """Two cores: the nearest sum of Kronecker products. Three: between the bounds that the unfoldings give."""
    w = np.random.default_rng(2).normal(size=(24, 12))
    size = np.linalg.norm(w)
    layer = TensorTrain(24, 12, rank=5, in_shape=(4, 6), out_shape=(3, 4), dtype=torch.float64)
    rearranged = w.reshape(4, 6, 3, 4).transpose(0, 2, 1, 3).reshape(12, 24)
    assert abs(project(layer, w) - math.sqrt(tail(rearranged, 5)) / size) < 1e-12
    assert len({round(core.norm().item(), 8) for core in layer.cores}) == 1
    layer = TensorTrain(24, 12, rank=(3, 2), in_shape=(2, 3, 4), out_shape=(3, 2, 2), dtype=torch.float64)
    tensor = w.reshape(2, 3, 4, 3, 2, 2).transpose(0, 3, 1, 4, 2, 5)
    tails = [tail(tensor.reshape(6, -1), 3), tail(tensor.reshape(36, -1), 2)]
    assert math.sqrt(max(tails)) <= project(layer, w) * size <= math.sqrt(sum(tails)) * (1 + 1e-12)


def test_projection_of_zero_is_zero():
    layer = TensorTrain(8, rank=2)
    with torch.no_grad():
        layer._project(torch.zeros(8, 8))
    assert layer.matrix().abs().max() == 0


@pytest.mark.parametrize("make", MAKES)
def test_fit_reaches_weight_and_bias(make):
    target = random_bias(make(12, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    layer = copy.deepcopy(target)
    for p in layer.parameters():  # near enough for descent where there is no closed form
        p.data.add_(0.05 * torch.randn_like(p))
    linear = target.collapse()
    assert fit(layer, linear.weight, linear.bias) < 1e-6
    assert (layer.bias - target.bias).abs().max() < 1e-3
    x = torch.randn(5, 12, dtype=torch.float64)
    assert (layer(x) - linear(x)).abs().max() < 1e-2


# --- tensor-train shapes ---------------------------------------------------------------------------------------------


def test_default_shapes_are_balanced_and_reversed():
    assert balanced_factors(784, 3) == (7, 8, 14)
    assert balanced_factors(13, 3) == (1, 1, 13)
    assert balanced_factors(4096, 4) == (8, 8, 8, 8)
    assert balanced_factors(1, 2) == (1, 1)
    layer = TensorTrain(784, 10, rank=2)
    assert (layer.in_shape, layer.out_shape, layer.ranks) == ((7, 8, 14), (5, 2, 1), (2, 2))
    assert TensorTrain(2048, 16, rank=2).in_shape == (4, 8, 8, 8)
    assert TensorTrain(12, 6, rank=2, in_shape=(4, 3)).out_shape == (3, 2)
    assert TensorTrain(12, 6, rank=2, out_shape=(3, 2, 1, 1)).in_shape == (1, 2, 2, 3)


def test_tensor_train_of_primes_is_low_rank():
    layer = TensorTrain(13, 7, rank=3)
    assert torch.linalg.matrix_rank(layer.matrix()) == 3


# --- hybrid ----------------------------------------------------------------------------------------------------------


def filled(layer):
    """No parameter left at its zero."""
    with torch.no_grad():
        for p in (layer.v, layer.values):
            if p is not None:
                p.normal_()
    return layer


STRUCTURED = {
    "circulant": lambda i, o: Circulant(i, o, dtype=torch.float64),
    "acdc": lambda i, o: ACDC(i, 2, out_features=o, dtype=torch.float64),
    "afdf": lambda i, o: AFDF(i, 2, out_features=o, dtype=torch.float64),
}
CORRECTIONS = [{"rank": 2}, {"entries": 3}, {"rank": 1, "entries": 7}]


@pytest.mark.parametrize(("i", "o"), [(6, 6), (7, 4), (4, 7), (8, 8)])
@pytest.mark.parametrize("correction", CORRECTIONS)
@pytest.mark.parametrize("name", STRUCTURED)
def test_hybrid_equals_its_parts(name, correction, i, o):
    structured = STRUCTURED[name](i, o)
    layer = Hybrid(structured, **correction)
    kind = torch.complex128 if name == "afdf" else torch.float64
    x = torch.randn(9, i, dtype=kind)
    assert layer.takes_complex == (name == "afdf")
    assert torch.equal(layer(x), structured(x))  # at the start
    filled(layer)
    w = dense(layer)
    assert np.abs(w - numpy_of(structured.matrix())).max() > 0.1
    assert np.abs(numpy_of(layer.matrix()) - w).max() < 1e-12
    for rows in (x, x[0], x[:0], x.reshape(3, 3, i)):  # few rows gather entries, many multiply by the dense matrix
        y = layer(rows)
        assert y.dtype == kind
        assert y.shape == (*rows.shape[:-1], o)
        assert np.abs(numpy_of(y) - rows.numpy() @ w).max(initial=0) < 1e-12


@pytest.mark.parametrize("rows", [1, 9])
@pytest.mark.parametrize("correction", CORRECTIONS)
@pytest.mark.parametrize("name", STRUCTURED)
def test_hybrid_gradcheck(name, correction, rows):
    layer = filled(Hybrid(STRUCTURED[name](4, 5), **correction))
    with torch.no_grad():
        if layer.structured.bias is not None:
            layer.structured.bias.normal_()
    check_gradients(layer, torch.randn(rows, 4, dtype=torch.complex128 if name == "afdf" else torch.float64))


def test_hybrid_takes_real_rows_of_either_precision():
    layer = filled(Hybrid(AFDF(6), rank=1, entries=4))
    x = torch.randn(3, 6, dtype=torch.float64)
    assert layer(x).dtype == torch.complex128
    assert layer(x.float()).dtype == torch.complex64
    assert (layer(x) - layer(x.float())).abs().max() < 1e-5


def test_places_are_distinct_fixed_and_anywhere():
    layer = Hybrid(Circulant(6, 5), entries=30, generator=torch.Generator().manual_seed(0))
    assert sorted(zip(layer.row.tolist(), layer.column.tolist(), strict=True)) == list(np.ndindex(6, 5))
    few = [Hybrid(Circulant(6, 5), entries=7, generator=torch.Generator().manual_seed(s)) for s in range(60)]
    assert all(len(set(zip(h.row.tolist(), h.column.tolist(), strict=True))) == 7 for h in few)
    counts = np.zeros((6, 5))
    for h in few:
        counts[h.row, h.column] += 1
    assert counts.min() > 0  # expected 14 each
    before = few[0].row.clone(), few[0].values.clone()
    few[0].values.data.fill_(1)
    few[0].reset_parameters()
    assert torch.equal(few[0].row, before[0])
    assert torch.equal(few[0].values, before[1])


def test_hybrid_behaves_as_a_module():
    def make(seed):
        generator = torch.Generator().manual_seed(seed)
        return Hybrid(ACDC(9, 2, out_features=7, generator=generator), rank=2, entries=5, generator=generator)

    state = torch.random.get_rng_state()
    layer, same, other = filled(make(1)), make(1), make(2)
    with torch.no_grad():
        assert torch.equal(same.u, layer.u)
    assert torch.equal(same.row, layer.row)
    torch.random.set_rng_state(state)
    make(1).reset_parameters(torch.Generator().manual_seed(1))
    assert torch.equal(torch.random.get_rng_state(), state)
    other.load_state_dict(layer.state_dict())
    x = torch.randn(4, 9)
    assert torch.equal(other(x), layer(x))
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))
    assert (copy.deepcopy(layer).to(torch.float64)(x.double()) - layer(x)).abs().max() < 1e-5
    assert torch.allclose(torch.compile(layer, backend="aot_eager")(x), layer(x), atol=1e-6)
    assert "out_features=7, rank=2, entries=5" in repr(layer)
    assert not Hybrid(ACDC(4, 2, activation="relu"), rank=1).affine
    nested = filled(Hybrid(filled(Hybrid(AFDF(4, dtype=torch.float64), rank=1)), entries=2))
    assert np.abs(numpy_of(nested.matrix()) - dense(nested)).max() < 1e-12


def test_hybrid_like():
    linear = nn.Linear(9, 7, bias=False, dtype=torch.float64)
    layer = Hybrid.like(linear, structured=lambda old: LowRank.like(old, rank=2), entries=4)
    assert (layer.in_features, layer.out_features) == (9, 7)
    assert layer.structured.bias is None
    assert layer.values.dtype == torch.float64


def test_hybrid_projection_of_a_low_rank_pair_is_the_nearest():
    """Rank 2 beside rank 1 is rank 3."""
    w = np.random.default_rng(3).normal(size=(9, 7))
    layer = Hybrid(LowRank(9, 7, rank=2, dtype=torch.float64), rank=1)
    assert abs(project(layer, w) - math.sqrt(tail(w, 3)) / np.linalg.norm(w)) < 1e-12


def test_hybrid_projection_separates_its_parts():
    rng = np.random.default_rng(4)
    target = Circulant(16, dtype=torch.float64)
    w = numpy_of(target.matrix()).copy()
    low = np.outer(rng.normal(size=16), rng.normal(size=16))
    places = rng.choice(256, 5, replace=False)
    spikes = np.zeros(256)
    spikes[places] = 20 * rng.choice([-1, 1], 5)
    layer = Hybrid(copy.deepcopy(target), entries=5)
    layer.structured.c.data.zero_()
    assert project(layer, w + spikes.reshape(16, 16)) < 1e-2
    assert sorted((layer.row * 16 + layer.column).tolist()) == sorted(places)
    layer = Hybrid(copy.deepcopy(target), rank=1)
    alone = project(copy.deepcopy(target), w + low)
    assert project(layer, w + low) < 0.1 * alone


@pytest.mark.parametrize("name", STRUCTURED)
def test_hybrid_fit_moves_entries_to_the_largest_residuals(name):
    w = torch.randn(5, 6, dtype=torch.float64)
    layer = Hybrid(STRUCTURED[name](6, 5), entries=4)
    alone = copy.deepcopy(layer.structured)
    error = fit(layer, w, steps=30)
    assert error < fit(alone, w, steps=30)
    rest = numpy_of(w.mT - layer.structured.matrix())
    largest = np.argsort(np.abs(rest).ravel())[-4:]
    assert sorted((layer.row * 5 + layer.column).tolist()) == sorted(largest)
    rest.flat[largest] = 0
    assert abs(np.linalg.norm(rest) / w.norm() - error) < 1e-12


def test_hybrid_projection_keeps_frozen_parts_and_the_bias():
    layer = Hybrid(random_bias(Circulant(6, dtype=torch.float64)), entries=36).requires_grad_(False)
    layer.values.requires_grad_()
    c, bias = layer.structured.c.clone(), layer.structured.bias.clone()
    assert project(layer, torch.randn(6, 6, dtype=torch.float64)) < 1e-14
    assert torch.equal(layer.structured.c, c)
    assert torch.equal(layer.structured.bias, bias)
    cascade = ACDC(6, dtype=torch.float64)
    cascade.bias.data.normal_()
    before = cascade(torch.zeros(6, dtype=torch.float64)).detach()
    assert project(Hybrid(cascade, entries=36), torch.randn(6, 6, dtype=torch.float64)) < 1e-14
    assert (cascade(torch.zeros(6, dtype=torch.float64)) - before).abs().max() < 1e-5


def test_hybrid_projection_never_ends_worse():
    """From the exact answer, which turns between the parts would leave, neither values nor places move."""
    layer = filled(Hybrid(Circulant(8, dtype=torch.float64), rank=2, entries=6))
    w = layer.matrix().detach()
    before = copy.deepcopy(layer.state_dict())
    assert project(layer, w) < 1e-14
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


# --- another package -------------------------------------------------------------------------------------------------


@pytest.fixture
def peer(monkeypatch):
    """Loads a file of torch-structured; the package as a whole wants Triton, these files do not."""
    spec = importlib.util.find_spec("torch_structured")
    if spec is None:
        pytest.skip("torch-structured, a peer, is not installed")

    def load(path):
        file = pathlib.Path(spec.submodule_search_locations[0], path)
        loaded = importlib.util.spec_from_file_location(f"peer_{file.stem}", file)
        module = importlib.util.module_from_spec(loaded)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # its spelling of torch.amp
            loaded.loader.exec_module(module)
        return module

    package = types.ModuleType("torch_structured")
    package._ops = types.SimpleNamespace(hadamard_transform=load("_torch_ref/hadamard.py").hadamard_transform_torch)
    monkeypatch.setitem(sys.modules, "torch_structured", package)
    return load


def test_fwht_and_fastfood_equal_torch_structured(peer):
    x = torch.randn(3, 16, dtype=torch.float64)
    assert (fwht(x) - peer("_torch_ref/hadamard.py").hadamard_transform_torch(x, normalize=True)).abs().max() < 1e-12
    layer = AdaptiveFastfood(16, bias=False, dtype=torch.float64)
    theirs = peer("structured/fastfood.py").fastfood_multiply(layer.s, layer.g, layer.b, layer.order, x)
    assert (layer(x) - theirs / 16).abs().max() < 1e-12  # theirs is not normalised


def test_monarch_equals_torch_structured(peer):
    theirs = peer("monarch/blockdiag_butterfly_multiply.py").blockdiag_butterfly_multiply_reference
    for i, o in ((12, 8), (16, 16)):
        layer = Monarch(i, o, blocks=4, bias=False, dtype=torch.float64)
        x = torch.randn(3, i, dtype=torch.float64)
        assert (layer(x) - theirs(x, layer.right.mT, layer.left.mT)).abs().max() < 1e-12


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Circulant(0), r"Circulant: features: got 0; allowed: a whole number ≥ 1"),
        (lambda: Circulant(3, 0), r"Circulant: out_features: got 0"),
        (lambda: Circulant(3, dtype=torch.float16), r"Circulant: dtype: got torch.float16; allowed: torch.float32 or"),
        (lambda: BlockCirculant(6, 4, block=7), r"BlockCirculant: block: got 7; allowed: 1 to 6 = max\(in_features, o"),
        (lambda: BlockCirculant(6, block=0), r"BlockCirculant: block: got 0; allowed: a whole number ≥ 1"),
        (lambda: BlockCirculant(6, block=2, dtype=torch.bfloat16), r"BlockCirculant: dtype: got torch.bfloat16"),
        (lambda: LowRank(6, 4, rank=5), r"LowRank: rank: got 5; allowed: at most 4 = min\(in_features, out_features\)"),
        (lambda: LowRank(6, 4, rank=0), r"LowRank: rank: got 0; allowed: a whole number ≥ 1"),
        (
            lambda: Monarch(12, 8, blocks=3),
            r"Monarch: blocks: got 3; allowed: a divisor of out_features = 8: 1, 2, 4, 8",
        ),
        (
            lambda: Monarch(12, 8, blocks=8),
            r"Monarch: blocks: got 8; allowed: a divisor of in_features = 12: 1, 2, 3, 4",
        ),
        (
            lambda: TensorTrain(12, rank=2, in_shape=(3, 5)),
            r"in_shape: got \(3, 5\); allowed: 2 factors whose product is in_features = 12; try: \(3, 4\)",
        ),
        (
            lambda: TensorTrain(12, 6, rank=2, in_shape=(2, 2, 3), out_shape=(2, 3)),
            r"out_shape: got \(2, 3\); allowed: 3 factors whose product is out_features = 6; try: \(3, 2, 1\)",
        ),
        (lambda: TensorTrain(12, rank=2, in_shape=(12,)), r"in_shape: got \(12,\); allowed: 2 factors whose"),
        (lambda: TensorTrain(12, rank=2, in_shape=(-3, -4)), r"in_shape: got \(-3, -4\); allowed: 2 factors"),
        (lambda: TensorTrain(12, rank=2, in_shape=12), r"TensorTrain: in_shape: got 12; allowed: 2 factors"),
        (
            lambda: TensorTrain(12, 6, rank=7),
            r"TensorTrain: rank: got 7; allowed: 1 to 3 for the shapes \(2, 2, 3\) and \(3, 2, 1\)",
        ),
        (lambda: TensorTrain(8, rank=(4,)), r"TensorTrain: rank: got \(4,\); allowed: one number, or 2 for the shapes"),
        (lambda: TensorTrain(8, rank=(1, 5)), r"rank: got \(1, 5\); allowed: 1 to 4 at place 2 for the shapes"),
        (lambda: TensorTrain(8, rank=2.0), r"TensorTrain: rank: got 2.0; allowed: a whole number ≥ 1"),
        (lambda: Hybrid(nn.Linear(4, 4), rank=1), r"Hybrid: structured: got Linear.*; allowed: a structured layer"),
        (lambda: Hybrid(Circulant(4)), r"Hybrid: rank and entries: got 0 and 0; allowed: at least one above 0"),
        (lambda: Hybrid(Circulant(4, 3), rank=4), r"Hybrid: rank: got 4; allowed: at most 3 = min\(in_features"),
        (lambda: Hybrid(Circulant(4), rank=-1), r"Hybrid: rank: got -1; allowed: a whole number ≥ 0"),
        (lambda: Hybrid(Circulant(4, 3), entries=13), r"Hybrid: entries: got 13; allowed: at most 12 = in_features"),
        (lambda: Hybrid(Circulant(4), rank=1)(torch.ones(3)), r"Hybrid: last axis of the input: got \(3,\)"),
        (lambda: Hybrid(Circulant(4), rank=1)(torch.ones(4) * 1j), r"Hybrid: input: got torch.complex64.*AFDF"),
        (lambda: Hybrid(ACDC(4, 2, activation="relu"), rank=1).matrix(), r"Hybrid has an activation inside"),
        (
            lambda: fwht(torch.ones(2, 6)),
            r"fwht: shape of the input: got \(2, 6\); allowed: \(\.\.\., N\), N a power of two: .*here 4 or 8; try",
        ),
        (lambda: fwht(torch.ones(2, 0)), r"fwht: shape of the input: got \(2, 0\).*here 1"),
        (lambda: fwht(torch.ones(())), r"fwht: shape of the input: got \(\)"),
        (lambda: fwht(torch.ones(4, dtype=torch.int64)), r"fwht: input dtype: got torch.int64"),
        *[
            (
                lambda make=make: make(6, 6)(torch.ones(2, 5)),
                r": last axis of the input: got \(2, 5\); allowed: \(.*, 6",
            )
            for make in MAKES
        ],
        *[(lambda make=make: make(6, 6)(torch.ones(6) * 1j), r": input: got torch.complex64") for make in MAKES],
    ],
)
def test_bad_input(make, message):
    with pytest.raises(InputError, match=message):
        make()
