"""Features as they are used: rows gathered from files that stay on disk."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Features"]


class Features:
    """A row of features for each input, in order; of mapped files, only what is asked for is read.

    Args:
        blocks: `(rows, ...)` each, of one type and shape of row.
        places: for each input, the block and the row in it.
        keep: what must live as long as the features do.
    """

    def __init__(
        self, blocks: Sequence[Tensor], places: Sequence[tuple[int, int]], keep: object = None
    ) -> None:
        self._blocks: list[Any] = [_as_bytes(block) for block in blocks]
        table = np.array(places, dtype=np.int64).reshape(-1, 2)
        self._block_of, self._row_of = table[:, 0].copy(), table[:, 1].copy()
        self._keep = keep
        self.dtype = blocks[0].dtype
        """What rows are kept in. They are handed out in float32, which holds all of it."""
        self.shape = (len(table), *blocks[0].shape[1:])

    def __len__(self) -> int:
        return len(self._row_of)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows as they are kept."""
        return len(self) * int(self._blocks[0].shape[1])

    def __getitem__(self, indices: Sequence[int] | Tensor) -> Float[Tensor, "batch ..."]:
        """The rows of these inputs, in this order, in float32 and memory of their own.

        Raises:
            IndexError: there is no such input.
            TypeError: they are no numbers of inputs, such as a mask, a slice or one number alone.
        """
        given = np.asarray(indices)
        if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
            raise TypeError(
                f"rows are asked for by a list of whole numbers, not by {indices!r}; of a mask, give "
                "mask.nonzero()[:, 0], of a slice, range(start, stop)"
            )
        wanted = given.astype(np.int64)
        if wanted.size and not (wanted.min() >= 0 and wanted.max() < len(self)):
            raise IndexError(f"there are {len(self)} rows, and {indices} asks for others")
        rows = torch.empty((len(wanted), *self.shape[1:]), dtype=self.dtype)
        target: Any = _as_bytes(rows)
        blocks, sources = self._block_of[wanted], self._row_of[wanted]
        order = np.argsort(blocks, kind="stable")
        starts = np.flatnonzero(np.diff(blocks[order], prepend=-1)).tolist()
        for start, stop in pairwise([*starts, len(order)]):
            inside = order[start:stop]
            target[inside] = self._blocks[blocks[inside[0]]][sources[inside]]
        return rows.float()

    def tensor(self) -> Float[Tensor, "count ..."]:
        """All rows in memory; for sets that fit there."""
        return self[torch.arange(len(self))]


def _as_bytes(rows: Tensor) -> Any:
    """The same memory as an array of bytes, which NumPy takes for every type."""
    return rows.contiguous().flatten(1).view(torch.uint8).numpy()
