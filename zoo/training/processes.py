"""The processes of a run: which one this is, and what they tell each other beside gradients."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

from zoo.errors import DataError
from zoo.losses.gather import row_counts

__all__ = ["Processes"]


class Processes:
    """All processes that `torch.distributed` knows of, or this one alone.

    Every process calls each method but `share` at the same point of its work.

    Args:
        device: where what is exchanged has to be, for the backend.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        several = dist.is_available() and dist.is_initialized()
        self.count = dist.get_world_size() if several else 1
        self.rank = dist.get_rank() if several else 0
        self.device = device

    @property
    def is_main(self) -> bool:
        """Whether this is the one that evaluates, writes and reports."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """This process's of so many rows. Shares differ by one row at most."""
        return slice(count * self.rank // self.count, count * (self.rank + 1) // self.count)

    def gathered(self, value: Any) -> list[Any]:
        """Each process's value, in the order of ranks; waits for all."""
        if self.count == 1:
            return [value]
        values = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def largest(self, numbers: list[int]) -> list[int]:
        """Of each number the largest in all processes; waits for all."""
        if self.count == 1:
            return numbers
        found = torch.tensor(numbers, device=self.device)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        most: list[int] = found.tolist()
        return most

    def rows(self, count: int) -> list[int]:
        """How many rows each process has."""
        return row_counts(count, self.device)

    def check_alike(self, what: str, value: Callable[[], Any]) -> None:
        """Raise `DataError` in all processes if the value is not the same in all."""
        values = [None] if self.count == 1 else self.gathered(value())
        other = next((rank for rank, each in enumerate(values) if each != values[0]), None)
        if other is not None:
            raise DataError(
                f"{what} is not the same in all processes: {_short(values[0])} in process 0, "
                f"{_short(values[other])} in process {other}. All have to see the same data"
            )

    @contextmanager
    def in_turns(self) -> Iterator[None]:
        """What is inside is done by the first process, then by the first of each machine, then by all.

        So that what the first ones keep in a cache is there for the others.
        """
        if self.count == 1:
            yield
            return
        own = 0 if self.is_main else 1 if os.environ.get("LOCAL_RANK", "0") == "0" else 2
        for _ in range(own):
            self.gathered(None)
        yield
        for _ in range(own, 3):
            self.gathered(None)


def _short(value: Any) -> str:
    said = str(value)
    return said if len(said) <= 60 else f"{said[:57]}..."
