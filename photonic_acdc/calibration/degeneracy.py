"""Directions that frames cannot tell apart, in the words of the figures they mix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from photonic_acdc.calibration.figures import Figure

#: Share of a figure (of its square) in undetermined directions above which it is undetermined itself: well above
#: rounding, and below what figures of unlike scales have.
_SHARE = 1e-10
#: Two figures are mixed where their entry in the projector is more than this of the most it can be.
_MIXED = 1e-2
#: A combination is a product where its exponents are 0 and ±1 to within this.
_EXPONENT = 1e-3
#: More figures than this are counted, not spelled out.
_SPELLED = 4


@dataclass(frozen=True, eq=False)
class Degeneracy:
    """Figures of which the frames determine only some combinations.

    Attributes:
        figures: their labels.
        undetermined: number of directions in them that the frames say nothing of.
        coefficients: of the combinations that are determined, ``[c, figures]``: of the figures themselves, or, of a
            product, exponents; each led by a 1.
        product: whether the combinations are products of powers.
        values: of the combinations, SI, ``[c]``.
        standard_errors: of them, of products relative, ``[c]``.
        text: the same in words.
    """

    figures: tuple[str, ...]
    undetermined: int
    coefficients: Tensor
    product: bool
    values: Tensor
    standard_errors: Tensor
    text: str


def degeneracies(null: Tensor, covariance: Tensor, figures: Sequence[Figure], values: Tensor) -> tuple[Degeneracy, ...]:
    r"""The groups of figures that undetermined directions mix.

    With orthonormal undetermined directions V, the projector :math:`P = V V^T` falls into blocks, one a group; the
    vectors of eigenvalue 0 of a block are what is determined in its group, brought to row echelon form.

    Args:
        null: V, in the scales of the figures, ``[p, m]``.
        covariance: of what is determined, pseudo-inverse, in the same scales, ``[p, p]``.
        figures: p of them.
        values: found, SI, ``[p]``.
    """
    projector = null @ null.T
    left = [i for i in range(len(figures)) if float(projector[i, i]) > _SHARE]
    found = []
    while left:
        group, fresh = {left[0]}, [left[0]]
        while fresh:
            i = fresh.pop()
            linked = [j for j in left if j not in group and _mixed(projector, i, j)]
            group |= set(linked)
            fresh += linked
        left = [i for i in left if i not in group]
        found.append(_group(sorted(group), projector, covariance, figures, values))
    return tuple(found)


def _mixed(projector: Tensor, i: int, j: int) -> bool:
    return bool(projector[i, j].abs() > _MIXED * (projector[i, i] * projector[j, j]).sqrt())


def _group(
    rows: list[int], projector: Tensor, covariance: Tensor, figures: Sequence[Figure], values: Tensor
) -> Degeneracy:
    members = [figures[i] for i in rows]
    labels = tuple(member.label for member in members)
    power, vectors = torch.linalg.eigh(projector[rows][:, rows])
    determined = vectors[:, power < 0.5].T
    scales = torch.tensor([member.scale for member in members], dtype=torch.float64)
    here = values[rows]
    found = _echelon(determined / scales)
    relative = _echelon(determined * here / scales) if bool((here != 0).all()) else None
    product = relative is not None and bool(((relative - relative.round()).abs() < _EXPONENT).all())
    product = product and relative is not None and bool((relative.abs() < 1.5).all()) and len(relative) > 0
    block = covariance[rows][:, rows]
    if product:
        assert relative is not None
        coefficients, slopes = relative.round(), relative.round() * scales / here
        combined = (here.abs().log() * coefficients).sum(-1).exp()
    else:
        coefficients, slopes = found, found * scales
        combined = (found * here).sum(-1)
    errors = torch.einsum("ci,ij,cj->c", slopes, block, slopes).clamp(min=0).sqrt()
    text = _text(members, coefficients, product, errors)
    return Degeneracy(labels, len(rows) - len(coefficients), coefficients, product, combined, errors, text)


def _echelon(rows: Tensor) -> Tensor:
    """Reduced row echelon form, each row led by a 1."""
    if not len(rows):
        return rows
    # Columns of different units must not choose the pivots.
    unit = rows.abs().amax(0).clamp(min=1e-300)
    rows = rows / unit
    led: list[tuple[int, int]] = []
    for column in range(rows.shape[1]):
        free = [i for i in range(len(rows)) if i not in {row for row, _ in led}]
        if not free:
            break
        best = max(free, key=lambda i: float(rows[i, column].abs()))
        if float(rows[best, column].abs()) < 1e-6:
            continue
        rows[best] = rows[best] / rows[best, column]
        for i in range(len(rows)):
            if i != best:
                rows[i] = rows[i] - rows[i, column] * rows[best]
        led.append((best, column))
    ordered = rows[[row for row, _ in led]] * unit
    lead = torch.stack([ordered[i, column] for i, (_, column) in enumerate(led)]) if led else ordered[:, 0]
    ordered = ordered / lead[:, None]
    near = (ordered.abs() - 1).abs() < 1e-9
    ordered = torch.where(near, ordered.sign(), ordered)
    small = ordered.abs() * (1 / unit) < 1e-9 * (ordered.abs() / unit).amax(-1, keepdim=True)
    return ordered.masked_fill(small, 0.0)


def _text(members: list[Figure], coefficients: Tensor, product: bool, errors: Tensor) -> str:
    labels = [member.label for member in members]
    if not len(coefficients):
        return f"{', '.join(labels)}: without influence on these frames"
    if len(members) > _SPELLED:
        count = len(coefficients)
        what = ("product" if product else "combination") + ("" if count == 1 else "s")
        names = f"{labels[0]}, {labels[1]} … {labels[-1]} ({len(labels)} figures)"
        return f"{names}: only {count} {what} of them {'is' if count == 1 else 'are'} determined"
    names = ", ".join(labels)
    if product and len(members) == 2:
        what = "product" if float(coefficients[0, 1]) > 0 else "ratio"
        return f"{names}: only their {what} is determined (to {float(errors[0]):.2g} of it)"
    spelled = []
    for row, error in zip(coefficients, errors, strict=True):
        terms = [(float(part), member) for part, member in zip(row, members, strict=True) if part != 0]
        if product:
            powers = [m.label if c == 1 else f"{m.label}^{c:g}" for c, m in terms]
            spelled.append(" · ".join(powers) + f" (to {float(error):.2g} of it)")
            continue
        lead = terms[0][1]
        words = lead.label
        for part, member in terms[1:]:
            ratio = "" if member.unit == lead.unit else f" {lead.unit}/{member.unit}"
            factor = "" if abs(part) == 1 and not ratio else f"{abs(part):.4g}{ratio} · "
            words += f" {'-' if part < 0 else '+'} {factor}{member.label}"
        spelled.append(f"{words} (± {float(error):.2g} {lead.unit})")
    return f"{names}: only {' and '.join(spelled)} {'is' if len(spelled) == 1 else 'are'} determined"
