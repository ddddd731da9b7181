"""Features by zoo beside features by the library that they come from: for tests and docs/parity.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["TOLERANCE", "Compared", "assert_same"]

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Compared:
    """Features of the same inputs, `Float[B, out_dim]`."""

    encoder: Any
    ours: Tensor
    theirs: Tensor

    @property
    def difference(self) -> float:
        return float((self.ours - self.theirs).abs().max())

    @property
    def largest(self) -> float:
        return float(self.theirs.abs().max())


def assert_same(found: Compared) -> None:
    ours, theirs = found.ours, found.theirs
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype == torch.float32
    assert ours.shape[1] == found.encoder.out_dim
    apart = (theirs[-1] - theirs[-2]).abs().max()
    assert apart > 1e-3, "the features tell nothing of what they are of"
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)
