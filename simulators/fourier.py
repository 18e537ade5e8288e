r"""The Fourier transform a lens performs, between planes of pixels.

A lens of focal length f takes a field over x to :math:`\frac{1}{i\lambda f}\int E\,e^{-2\pi i x u/(\lambda f)}dx`.
Measured in pixels (x = n p₁, u = k p₂) only :math:`M = \lambda f/(p_1 p_2)` is left: :math:`e^{-2\pi i n k/M}/\sqrt M`
an axis. Index n sits at n - (N-1)/2, so two transforms in a row are exactly an index flip.

On the N samples themselves it is the DFT (:func:`centred_dft`, M = N, unitary). Between planes written down in any
:class:`~simulators.bases.Basis` it is :func:`path_matrix`, with distances that need not be the focal length and planes
that need not be centred.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from simulators.bases import Basis, legendre, pixel_modes


def centres(count: int, *, dtype: torch.dtype = torch.float64, device=None) -> Tensor:
    """Pixel positions n - (N-1)/2, in pixels, ``[count]``."""
    return torch.arange(count, dtype=dtype, device=device) - (count - 1) / 2


def centred_dft(count: int, *, dtype: torch.dtype = torch.complex128, device=None) -> Tensor:
    r"""Unitary DFT on the half-pixel-centred grid, :math:`F_{kn} = e^{-2\pi i k_c n_c/N}/\sqrt N`, ``[N, N]``.

    F·F is the index flip, for odd and even N.
    """
    position = centres(count, device=device)
    phase = torch.outer(position, position) * (-2 * math.pi / count)
    return (torch.complex(phase.cos(), phase.sin()) / math.sqrt(count)).to(dtype)


@dataclass(frozen=True)
class Path:
    r"""From one plane to the next along one axis: a system of lenses and free space, in pixels of the two planes.

    .. math:: K(u, x) = \tfrac{1}{\sqrt M}\,e^{i\pi(\alpha X^2 - 2 X U/M + \beta U^2)},
        \quad X = x + c_{in},\; U = u + c_{out}

    with U - t in place of U in the product XU (Collins, J. Opt. Soc. Am. 60, 1168 (1970), without its constant phase).
    Every figure has the same shape ``[...]``.

    Attributes:
        scale: M = λB/(p_in p_out).
        bend_in: α = A p_in²/(λB); None: 0, as over two focal lengths.
        bend_out: β = D p_out²/(λB); None: 0.
        offset_in: c_in, of the plane in front from the optical axis, in its pixels; None: 0.
        offset_out: c_out; None: 0.
        tilt: t, where a beam tilted in front lands; None: 0.
        drawn: curvature c that the mask in front draws against that of free space on both of its sides, and native
            pixels a pixel: what the steps leave is :math:`e^{i\pi c(x^2 - x_{nat}^2)}`; None: there is none.
        squeeze: s of a lens that images u = f tan θ: the transform is taken at :math:`U/\sqrt{1 + s U^2}`,
            s = (p_out/f)²; None: f sin θ, no distortion.
    """

    scale: Tensor
    bend_in: Tensor | None = None
    bend_out: Tensor | None = None
    offset_in: Tensor | None = None
    offset_out: Tensor | None = None
    tilt: Tensor | None = None
    squeeze: Tensor | None = None
    drawn: tuple[float, int] | None = None


def path_matrix(front: Basis, back: Basis, path: Path) -> Tensor:
    """The operator of ``path`` along one axis, from the functions of one basis to those of the other.

    Returns:
        Complex128 ``[..., back.size, front.size]``. Between :func:`~simulators.bases.pixel_modes` no singular value
        exceeds 1: it is the compression of a unitary operator.
    """
    device = path.scale.device
    scale = path.scale.double()
    shape = scale.shape
    wave = (-2 * math.pi / scale)[..., None, None]  # rad per (pixel in · pixel out)
    u = back.positions.to(device).expand(*shape, -1)
    values = back.functions.to(device)
    if path.offset_out is not None:
        u = u + path.offset_out.double()[..., None]
    jacobian = None
    bent = u
    if path.squeeze is not None:
        stretch = torch.rsqrt(1 + path.squeeze.double()[..., None] * u**2)
        bent, jacobian = u * stretch, stretch**1.5
    if path.tilt is not None:
        bent = bent - path.tilt.double()[..., None]
    inner, weights = front.nodes.to(device), front.functions.to(device)
    n = front.centres.to(device).expand(*shape, -1)
    if path.offset_in is not None:
        n = n + path.offset_in.double()[..., None]
    # x = n + x': the phase splits into a part of the cell's centre and a part inside it.
    across = _phasor(wave * bent[..., :, None] * n[..., None, :])  # [..., u, n]
    inside = _phasor(wave * bent[..., :, None] * inner)  # [..., u, node]
    if path.bend_in is None and path.drawn is None:
        inside = inside @ weights.to(inside.dtype).T  # [..., u, b]
        field = across[..., :, None] * inside[..., None, :]  # [..., u, n, b]
    else:
        bend = torch.zeros(front.cells, len(inner), dtype=torch.float64, device=device)
        if path.drawn is not None:
            place = front.positions.to(device)
            left = place**2 - stepped(place, front.cells, path.drawn[1]) ** 2
            bend = bend + math.pi * path.drawn[0] * left.reshape(bend.shape)
        if path.bend_in is not None:
            bend = bend + math.pi * path.bend_in.double()[..., None, None] * (n[..., :, None] + inner) ** 2
        curved = _phasor(bend).mT[..., None] * weights.T[:, None, :]  # [..., node, n, b]
        field = across[..., None] * (inside @ curved.flatten(-2)).unflatten(-1, (front.cells, front.order))
    field = field.reshape(*shape, back.cells, len(back.nodes), front.size)
    if path.bend_out is not None:
        curved = _phasor(math.pi * path.bend_out.double()[..., None] * u**2)
        field = field * curved.reshape(*shape, back.cells, -1, 1)
    if jacobian is not None:
        field = field * jacobian.reshape(*shape, back.cells, -1, 1)
    out = values.to(field.dtype) @ field  # [..., k, a, n·b]
    return out.reshape(*shape, back.size, front.size) * torch.rsqrt(scale)[..., None, None]


def stepped(place: Tensor, pixels: int, native: int) -> Tensor:
    """Centre of the native pixel in which each ``place`` (pixels, centred) lies, in pixels."""
    edge = pixels / 2
    return (torch.floor((place + edge) * native) + 0.5) / native - edge


def lens_matrix(n_in: int, n_out: int, scale: Tensor, *, order_in: int, order_out: int) -> Tensor:
    r"""A lens along one axis, over two focal lengths, between Legendre pixel modes.

    .. math:: L_{(k,a),(n,b)} = \frac{1}{\sqrt M}\iint P_a(u)\,P_b(x)\,e^{-2\pi i x u/M}\,du\,dx

    over pixel n in and pixel k out, with orthonormal :math:`P_a`.

    Args:
        n_in: pixels of the plane in front.
        n_out: pixels of the plane behind.
        scale: M, real, any shape ``[...]``; differentiable.
        order_in: modes b a pixel in front.
        order_out: modes a a pixel behind.

    Returns:
        Complex128 ``[..., n_out·order_out, n_in·order_in]``; the mode index runs fastest. No singular value exceeds 1.

    Source: the angular-spectrum kernel of Goodman, *Introduction to Fourier Optics*, 5.2, in the basis stated.
    """
    return path_matrix(pixel_modes(n_in, order_in), pixel_modes(n_out, order_out), Path(scale))


def two_lens_taps(modes: int, pixels: int, scale: float, *, window: float = 1.0) -> Tensor:
    r"""How the pixels of a Fourier-plane mask add up to the taps of the filter between two lenses, one axis.

    A mask D between two lenses takes pixel boxes to the mean field over a window of each pixel by the Hankel matrix
    T[l, n] = t[n + l], with t = B D and

    .. math:: B_{jk} = \frac{1}{M}\int_{\text{pixel }k} e^{-2\pi i j u/M}\,
        \mathrm{sinc}\frac{u}{M}\,\mathrm{sinc}\frac{w u}{M}\,du, \quad j = -(N-1) \dots N-1

    Args:
        modes: N.
        pixels: P, of the mask.
        scale: M, of both lenses.
        window: w, share of a pixel's width over which the field is read; 1: projected on its box.

    Returns:
        Complex128 ``[2N-1, P]``. With P ≥ M ≥ 2N-1 it has full row rank, so that any taps can be had.
    """
    boxes = pixel_modes(pixels, 1)
    u = boxes.positions
    envelope = torch.sinc(u / scale) * torch.sinc(window * u / scale)
    lag = torch.arange(-(modes - 1), modes, dtype=torch.float64)
    kernel = _phasor(torch.outer(lag, u) * (-2 * math.pi / scale)) * envelope
    return (kernel.reshape(len(lag), pixels, -1) @ boxes.functions[0].to(torch.complex128)) / scale


def window_gram(order: int, window: float) -> Tensor:
    """Overlaps of the pixel modes over the central share ``window`` of the pixel's width, float64 ``[order, order]``.

    Intensity within the window is c* G c; the whole pixel gives the identity.
    """
    box = pixel_modes(1, order)
    modes = torch.from_numpy(legendre(order, (box.nodes * window).numpy()))
    return (modes * (box.functions[0] * window)) @ modes.T


def window_mean(order: int, window: float) -> Tensor:
    """Integrals of the pixel modes over the central share ``window`` of the pixel's width, float64 ``[order]``."""
    return window_gram(order, window)[0]


def along_axes(matrix_y: Tensor, field: Tensor, matrix_x: Tensor) -> Tensor:
    """``W_y X W_xᵀ`` on the last two axes.

    Args:
        matrix_y: ``[R or 1, 1, out_y, in_y]`` or ``[out_y, in_y]``.
        field: ``[..., R or 1, B, in_y, in_x]``.
        matrix_x: as ``matrix_y``, of the other axis.

    Returns:
        ``[..., R, B, out_y, out_x]``.
    """
    return matrix_y @ field @ matrix_x.mT


def _phasor(phase: Tensor) -> Tensor:
    return torch.complex(phase.cos(), phase.sin())
