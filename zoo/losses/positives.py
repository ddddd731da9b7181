"""Which pairs of a batch belong together: pair i with pair i, and what shows or says the same."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from zoo.losses.tiles import Memory, Tile

__all__ = ["Positives"]

_ROOM = 4
"""Of the memory for tiles, one that reductions leave alone."""


class Positives:
    """Pair (i, j) is a positive if i is j, or if both have the same image id or the same text id.

    Args:
        count: number of pairs.
        first: the pair that row 0 of the logits belongs to; column j belongs to pair j.
        image_ids: equal numbers for the same picture.
        text_ids: equal numbers for the same caption.
    """

    def __init__(
        self,
        count: int,
        first: int,
        image_ids: Int[Tensor, " count"] | None = None,
        text_ids: Int[Tensor, " count"] | None = None,
    ) -> None:
        self.first = first
        self.ids = [each for each in (image_ids, text_ids) if each is not None]
        self.counts = self._counts()
        """Of each pair: with how many it belongs together, itself included; None if all are alone."""

    def fill_(self, logits: Tensor, tile: Tile, memory: Memory, value: float) -> None:
        if self.ids:
            logits.masked_fill_(self._mask(tile, memory), value)
        else:
            self._diagonal(logits, tile).fill_(value)

    def negate_(self, logits: Tensor, tile: Tile, memory: Memory) -> None:
        if not self.ids:
            self._diagonal(logits, tile).neg_()
            return
        # From 0 and 1 to a factor of 1 and of -1.
        logits.mul_(self._mask_as_numbers(tile, memory).mul_(-2).add_(1))

    def add_sums(
        self,
        logits: Tensor,
        tile: Tile,
        memory: Memory,
        rows: Tensor,
        columns: Tensor | None = None,
    ) -> None:
        """Add the sums over positives to those of rows and columns."""
        if self.ids:
            chosen = self._mask_as_numbers(tile, memory).mul_(logits)
            rows[tile.rows] += chosen.sum(1)
            if columns is not None:
                columns[tile.columns] += chosen.sum(0)
            return
        diagonal = self._diagonal(logits, tile)
        begin_row, begin_column = self._corner(tile)
        rows[begin_row : begin_row + diagonal.shape[0]] += diagonal
        if columns is not None:
            columns[begin_column : begin_column + diagonal.shape[0]] += diagonal

    def spread_(
        self,
        gradient: Tensor,
        tile: Tile,
        memory: Memory,
        rows: Tensor,
        columns: Tensor | None = None,
    ) -> None:
        """Add to each positive what its row and its column have: the way back of `add_sums`."""
        if self.ids:
            mask = self._mask_as_numbers(tile, memory)
            gradient.addcmul_(mask, rows[tile.rows, None])
            if columns is not None:
                gradient.addcmul_(mask, columns[tile.columns])
            return
        diagonal = self._diagonal(gradient, tile)
        begin_row, begin_column = self._corner(tile)
        diagonal += rows[begin_row : begin_row + diagonal.shape[0]]
        if columns is not None:
            diagonal += columns[begin_column : begin_column + diagonal.shape[0]]

    def _counts(self) -> Tensor | None:
        if not self.ids:
            return None
        groups = [_group_sizes(each[:, None]) for each in self.ids]
        if len(groups) == 1:
            return groups[0]
        return groups[0] + groups[1] - _group_sizes(torch.stack(self.ids, 1))

    def _mask(self, tile: Tile, memory: Memory) -> Tensor:
        """By row and column, whether the pair is a positive."""
        rows = slice(tile.rows.start + self.first, tile.rows.stop + self.first)
        shape = rows.stop - rows.start, tile.columns.stop - tile.columns.start
        found = [
            torch.eq(ids[rows, None], ids[tile.columns], out=memory(number, shape, torch.bool))
            for number, ids in enumerate(self.ids)
        ]
        return found[0] if len(found) == 1 else found[0].logical_or_(found[1])

    def _mask_as_numbers(self, tile: Tile, memory: Memory) -> Tensor:
        """In the precision of the logits: torch's products with a mask make such a copy each time."""
        mask = self._mask(tile, memory)
        return memory(_ROOM, mask.shape).copy_(mask)

    def _diagonal(self, logits: Tensor, tile: Tile) -> Tensor:
        offset = tile.rows.start + self.first - tile.columns.start
        height, width = logits.shape
        if not -height < offset < width:
            return logits.new_empty(0)
        return logits.diagonal(offset)

    def _corner(self, tile: Tile) -> tuple[int, int]:
        """The row and the column in which the diagonal of a tile begins."""
        column = max(tile.rows.start + self.first, tile.columns.start)
        return column - self.first, column


def _group_sizes(keys: Tensor) -> Tensor:
    """Of each row: how many rows are equal to it."""
    _, group, sizes = torch.unique(keys, dim=0, return_inverse=True, return_counts=True)
    each: Tensor = sizes[group]
    return each
