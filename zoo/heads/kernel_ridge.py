"""Kernel ridge regression from features that were shown, as the heads that are solved use it."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.errors import ArgumentError
from zoo.heads.exact import exact

__all__ = ["Which", "chosen_rows", "compare", "evened", "main_axes", "ridge_values"]

Which = Literal["spaced", "first"]

_ROWS_AT_ONCE = 4096
_NOTHING = 1e-6
"""Added before the root, whose gradient at zero is infinite."""


def evened(features: Tensor, power: float) -> Tensor:
    """Features to a power that keeps their signs, each row of the length that a row of ones has."""
    length = features.shape[1] ** 0.5
    features = features.sign() * (features.abs() + _NOTHING) ** power
    rows: Tensor = F.normalize(features, dim=1) * length
    return rows


def main_axes(centred: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The directions of the most variance, as columns, each with its largest entry positive; and the
    spread along each, where the first has 1.
    """
    points = exact(centred)
    variances, axes = torch.linalg.eigh(points.T @ points)
    spread = variances[-count:].flip(0).clamp(min=0).sqrt()
    axes = axes[:, -count:].flip(1)
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    signed = (axes * largest.sign()).to(centred)
    return signed, (spread / spread[0].clamp(min=1e-12)).to(centred)


def chosen_rows(rows: int, landmarks: int, which: Which, device: torch.device) -> Tensor:
    """The numbers of the rows that become landmarks: at most as many as there are."""
    count = min(rows, landmarks)
    last = (rows if which == "spaced" else count) - 1
    return torch.linspace(0, last, count, device=device).round().long()


def compare(points: Tensor, others: Tensor, gamma: float) -> Tensor:
    """exp(-gamma * d^2), with d the distance of two unit vectors."""
    kernel: Tensor = (2 * gamma * (points @ others.T - 1)).exp()
    return kernel


def ridge_values(
    points: Tensor, targets: Tensor, landmarks: Tensor, *, gamma: float, ridge: float
) -> Tensor:
    """What each landmark adds to a prediction of the targets.

    As many landmarks as points stand for the points, in their order. Fewer are the Nyström method: all
    points count, and some are kept.

    Raises:
        ArgumentError: the ridge is too small for what numbers can tell apart.
    """
    points, landmarks, goals = exact(points), exact(landmarks), exact(targets)
    system = compare(landmarks, landmarks, gamma)
    if len(landmarks) == len(points):
        system.diagonal().add_(ridge)
        wanted = goals
    else:
        system *= ridge
        system.diagonal().add_(ridge * 1e-4)  # the kernel alone may be singular
        wanted = goals.new_zeros(len(landmarks), goals.shape[1])
        for start in range(0, len(points), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            compared = compare(points[rows], landmarks, gamma)
            system += compared.T @ compared
            wanted += compared.T @ goals[rows]
    factor, failed = torch.linalg.cholesky_ex(system)
    if failed:
        raise ArgumentError(
            f"with ridge={ridge:g} and gamma={gamma:g} the kernel of {len(points):,} rows cannot be "
            "solved; take more of either"
        )
    values: Tensor = torch.cholesky_solve(wanted, factor)
    return values.to(targets)
