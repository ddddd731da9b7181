"""Checks of projection heads."""

from __future__ import annotations

import torch

from zoo.errors import ArgumentError
from zoo.testing.case import require
from zoo.testing.subject import HEAD_SIZES, ComponentSubject, quietly
from zoo.testing.tower_parts import EVERY_TOWER_PART

__all__ = ["HEAD"]


def shapes(subject: ComponentSubject) -> None:
    """From `in_dim` to `out_dim`, for every size that it does not refuse by an `ArgumentError`."""
    made_for = getattr(subject.factory, "takes_tokens", False)
    for in_dim, out_dim in HEAD_SIZES:
        try:
            head = subject.make(in_dim=in_dim, out_dim=out_dim).eval()
        except ArgumentError:
            continue
        require(
            getattr(head, "takes_tokens", False) == made_for,
            "takes_tokens of the factory and of what it makes differ",
        )
        for places in ((4,), (9,)) if made_for else ((),):
            said = quietly(head, (torch.randn(2, *places, in_dim),))
            require(
                tuple(said.shape) == (2, out_dim),
                f"in_dim={in_dim}, out_dim={out_dim}: 2 rows give shape {tuple(said.shape)}",
            )


def finite(subject: ComponentSubject) -> None:
    """Features of zero and features a thousand times too large give finite numbers."""
    (features,) = subject.inputs()
    for factor in (0.0, 1e3):
        said = quietly(subject.module, (features * factor,))
        require(bool(said.isfinite().all()), f"features times {factor:g} give numbers not finite")


HEAD = (*EVERY_TOWER_PART, shapes, finite)
