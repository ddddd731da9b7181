"""How alike the embeddings of a batch are: their mean cosine with one another, from a sum of rows."""

from __future__ import annotations

import math

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

__all__ = ["MeanCosine"]


class MeanCosine:
    """Gathers the embeddings of a step, side by side, in as many parts as they come in.

    Of n unit vectors with sum s, the mean cosine of two different ones is (|s|² - n) / (n (n - 1)).
    """

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Tensor, int]] = {}

    def add(self, side: str, embeds: Float[Tensor, "rows dim"]) -> None:
        """More rows, of unit length."""
        total, rows = embeds.detach().sum(0), len(embeds)
        if side in self._sums:
            before = self._sums[side]
            total, rows = before[0] + total, before[1] + rows
        self._sums[side] = total, rows

    def take(self, side: str, *, several: bool = False) -> float | None:
        """The mean cosine, and begin anew; None for fewer than two rows.

        Args:
            several: of the rows of all processes, each of which asks.
        """
        total, rows = self._sums.pop(side, (torch.zeros(0), 0))
        if several:
            sums = torch.cat([total, total.new_tensor([rows])])
            dist.all_reduce(sums)
            total, rows = sums[:-1], int(sums[-1])
        if rows < 2:
            return None
        square = math.fsum(each * each for each in total.tolist())  # not every GPU has float64
        return (square - rows) / (rows * (rows - 1))
