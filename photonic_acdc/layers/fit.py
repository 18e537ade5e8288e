"""Least squares: bring a structured layer as near to a dense one as it comes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from photonic_acdc.evaluating import evaluating
from photonic_acdc.layers.check import positive
from simulators.errors import InputError

#: A parameter whose gradient is this far below 1 and below the largest does not move the matrix.
_STILL = 1e-9
#: Relative error of the offset from which on it counts as missed.
_MISSED = 1e-3


def fit(module: nn.Module, weight: Tensor, bias: Tensor | None = None, *, steps: int = 300) -> float:
    r"""Fit an affine module y = x Ŵ + ĉ to a dense layer y = x Wᵀ + c, in place.

    .. math:: \min \lVert W^T - \hat W \rVert_F, \quad \text{then} \quad \min \lVert c - \hat c \rVert_2

    the latter over the parameters that leave Ŵ as it is. In closed form where the layer has one, otherwise by L-BFGS in
    double precision from where the parameters are. Deterministic; never ends worse than it started; frozen parameters
    stay.

    Args:
        module: affine in eval mode: a layer without activation, or a chain such as ``nn.Sequential(AFDF, Real)``.
        weight: W ``[out, in]``, real or complex.
        bias: c ``[out]``; None: 0.
        steps: iterations of L-BFGS at most; each takes in + 1 rows forth and back.

    Returns:
        ‖Wᵀ - Ŵ‖ / ‖W‖, Frobenius.

    Raises:
        InputError: a weight or bias of the wrong shape, not finite, or all zero; a module that is not affine, or has
            nothing to fit.

    Warns:
        UserWarning: the module has no bias with which to reach c.

    Source: L-BFGS with strong Wolfe line search, Nocedal and Wright, Numerical Optimization (2006), algorithm 7.5.
    """
    positive("fit: steps", steps)
    matrix, offset = _targets(weight, bias)
    with evaluating(module):
        twin = Affine(module, *matrix.shape)
        twin.check(complex_target=matrix.is_complex())
        matrix, offset = matrix.to(twin.device), offset.to(twin.device)
        size = _norm(matrix).item()
        scale = _norm(offset).item() or size

        def matrix_error() -> Tensor:
            return _norm(matrix - twin()[0]) / size

        def offset_error() -> Tensor:
            return _norm(offset - twin()[1]) / scale

        def change_matrix() -> None:
            if not _project(module, matrix):
                twin.descend(matrix_error, list(twin.values), steps)

        twin.improve(matrix_error, change_matrix)
        if still := twin.still():
            twin.improve(offset_error, lambda: twin.descend(offset_error, still, steps))
        with torch.no_grad():
            if offset_error() > _MISSED:
                warnings.warn(f"fit: no bias of {type(module).__name__} reaches that of the dense layer", UserWarning)
            return matrix_error().item()


class Affine:
    """An affine module as a function of double-precision copies of its trainable parameters.

    Args:
        module: in eval mode.
        rows, columns: of Ŵ, inputs and outputs.
    """

    def __init__(self, module: nn.Module, rows: int, columns: int):
        self.module, self.size = module, (rows, columns)
        self.parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.values = {name: _double(p.detach()).clone().requires_grad_() for name, p in self.parameters.items()}
        self._load()
        self.device = next((t.device for t in _state(module).values()), torch.device("cpu"))
        eye = torch.eye(rows, dtype=torch.float64, device=self.device)
        self._rows = torch.cat([torch.zeros_like(eye[:1]), eye])

    def _map(self, rows: Tensor) -> Tensor:
        return functional_call(self.module, {**self._fixed, **self.values}, (rows,))

    def __call__(self) -> tuple[Tensor, Tensor]:
        """Ŵ ``[in, out]`` and ĉ ``[out]``, with gradients."""
        mapped = self._map(self._rows)
        return mapped[1:] - mapped[0], mapped[0]

    @torch.no_grad()
    def is_affine(self) -> bool:
        """Whether f(u + v) + f(0) = f(u) + f(v), for small and for large rows."""
        generator = torch.Generator().manual_seed(0)
        u, v = torch.randn(2, 6, self.size[0], generator=generator, dtype=torch.float64).to(self.device)
        u[:3] *= 100
        v[:3] *= 100
        sums, us, vs, zeros = self._map(torch.cat([u + v, u, v, torch.zeros_like(u)])).chunk(4)
        bound = 1e-8 * (us.abs() + vs.abs() + zeros.abs()).amax(-1, keepdim=True)
        return bool(((sums + zeros - us - vs).abs() <= bound).all())

    def check(self, *, complex_target: bool) -> None:
        """Raise :class:`InputError` where the module cannot be fitted to a target of this size."""
        name = type(self.module).__name__
        if not self.parameters:
            raise InputError(f"fit: {name} has no trainable parameters")
        rows, columns = self.size
        try:
            with torch.no_grad():
                mapped = self._map(self._rows[:1])
        except (RuntimeError, ValueError, IndexError) as error:
            raise InputError("fit: weight", value=f"{columns}x{rows}", allowed=f"what {name} maps: {error}") from error
        if mapped.shape != (1, columns):
            allowed = f"what {name} maps, {rows} features to {mapped.shape[-1]}"
            raise InputError("fit: weight", value=f"{columns}x{rows}", allowed=allowed)
        if complex_target and not mapped.is_complex():
            raise InputError("fit: weight", value="complex", allowed=f"real, as {name} is", remedy="AFDF")
        if not self.is_affine():
            raise InputError(
                f"fit: {name} is not affine",
                allowed="layers without activation",
                remedy="fit it before the activation is put in, or train it on the dense layer's outputs",
            )

    def improve(self, error: Callable[[], Tensor], change: Callable[[], None]) -> None:
        """Let ``change`` alter the module's parameters; undo it where the error, of rounded parameters, has grown."""
        with torch.no_grad():
            before = error()
            kept = {name: tensor.clone() for name, tensor in _state(self.module).items()}
        change()
        self._load()
        with torch.no_grad():
            if not error() <= before:
                for name, tensor in _state(self.module).items():
                    tensor.copy_(kept[name])
                self._load()

    def descend(self, error: Callable[[], Tensor], names: list[str], steps: int) -> None:
        """L-BFGS on error² over the named parameters; the best point seen is written to the module."""
        values = [self.values[name] for name in names]
        best, kept = math.inf, [value.detach().clone() for value in values]
        optimiser = torch.optim.LBFGS(
            values,
            max_iter=steps,
            max_eval=2 * steps,
            history_size=50,
            line_search_fn="strong_wolfe",
            tolerance_grad=1e-13,
            tolerance_change=1e-24,
        )

        def closure() -> float:
            nonlocal best, kept
            optimiser.zero_grad()
            loss = error() ** 2
            loss.backward()
            if loss < best:
                best, kept = loss.item(), [value.detach().clone() for value in values]
            return loss.item()

        optimiser.step(closure)
        with torch.no_grad():
            for name, value in zip(names, kept, strict=True):
                self.parameters[name].copy_(value)

    def still(self) -> list[str]:
        """The parameters that do not move Ŵ: biases."""
        matrix, _ = self()
        generator = torch.Generator().manual_seed(1)
        direction = torch.randn(matrix.shape, generator=generator, dtype=torch.float64).to(self.device)
        (matrix.real * direction + (matrix.imag * direction.flip(0) if matrix.is_complex() else 0)).sum().backward()
        slopes = {name: 0.0 if v.grad is None else v.grad.abs().max().item() for name, v in self.values.items()}
        return [name for name, slope in slopes.items() if slope <= _STILL * max(1.0, *slopes.values())]

    @torch.no_grad()
    def _load(self) -> None:
        for name, parameter in self.parameters.items():
            self.values[name].copy_(parameter)
            self.values[name].grad = None
        self._fixed = {n: _double(t.detach()) for n, t in _state(self.module).items() if n not in self.parameters}


@torch.no_grad()
def _project(module: nn.Module, matrix: Tensor) -> bool:
    """The layer's closed form, at its own precision, where it has one that leaves frozen parameters alone."""
    hook = getattr(module, "_project", None)
    if hook is None:
        return False
    kept = {name: tensor.clone() for name, tensor in _state(module).items()}
    precision = next(module.parameters()).real.dtype
    found = hook(matrix.to(precision.to_complex() if matrix.is_complex() else precision))
    frozen = [name for name, p in module.named_parameters() if not p.requires_grad]
    if all(torch.equal(module.get_parameter(name), kept[name]) for name in frozen):
        return found
    for name, tensor in _state(module).items():
        tensor.copy_(kept[name])
    return False


def _state(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, persistent or not."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _targets(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """W ``[in, out]`` and c, in double precision."""
    if weight.ndim != 2:
        raise InputError("fit: weight", value=tuple(weight.shape), allowed="a matrix [out, in]")
    offset = torch.zeros_like(weight[:, 0]) if bias is None else bias
    if offset.shape != weight.shape[:1]:
        raise InputError("fit: bias", value=tuple(offset.shape), allowed=f"({len(weight)},), as the weight has rows")
    for name, tensor in (("weight", weight), ("bias", offset)):
        if not tensor.isfinite().all():
            raise InputError(f"fit: {name}", value="entries that are not finite", allowed="finite ones")
    if not weight.any():
        raise InputError("fit: weight", value="zeros alone", allowed="a matrix to which an error can be relative")
    dtype = torch.complex128 if weight.is_complex() or offset.is_complex() else torch.float64
    return weight.detach().to(dtype).mT, offset.detach().to(dtype)


def _double(tensor: Tensor) -> Tensor:
    if tensor.is_complex():
        return tensor.to(torch.complex128)
    return tensor.double() if tensor.is_floating_point() else tensor


def _norm(tensor: Tensor) -> Tensor:
    return torch.linalg.vector_norm(tensor)
