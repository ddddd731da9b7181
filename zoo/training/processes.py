"""The processes of a run: which one this is, and what they tell each other beside gradients."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from zoo.errors import DataError, MissingExtraError, RunStopped, SpecError, ZooError
from zoo.losses.gather import row_counts

try:
    from accelerate import Accelerator
    from accelerate.state import is_initialized
    from accelerate.utils import InitProcessGroupKwargs
except ImportError as missing:
    raise MissingExtraError("training needs accelerate: pip install 'clip-zoo[train]'") from missing

__all__ = ["Processes", "make_accelerator"]

_T = TypeVar("_T")


def make_accelerator(device: torch.device) -> Accelerator:
    """Accelerate's view of the processes that this one was started among.

    Raises:
        SpecError: an `Accelerator` of this process has other settings, which hold until it ends.
    """
    try:
        return Accelerator(
            cpu=device.type == "cpu",
            mixed_precision="no",  # it is the recipe that says it
            kwargs_handlers=[
                # The others wait while the first one computes features, or evaluates.
                InitProcessGroupKwargs(timeout=timedelta(days=1)),
            ],
        )
    except ValueError as error:
        if not is_initialized():
            raise
        raise SpecError(
            "this process has an Accelerator of another device or mixed_precision already, made by other "
            f"code or by a training on another device, and there can be one kind only. Train on "
            f"{device.type} in a process of its own (restart the notebook), and make Accelerators there "
            'with mixed_precision = "no"'
        ) from error


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

    def by_all(self, work: Callable[[], _T]) -> list[_T]:
        """What each process's own work gives, in the order of ranks. If it fails in one, it does in all.

        Raises:
            ZooError: what it failed with elsewhere; what it failed with here, of any kind, comes first.
        """
        if self.count == 1:
            return [work()]
        found: Any = None
        failure: Exception | None = None
        try:
            found = work()
        except Exception as error:  # all others wait for word of it
            failure = error
        told = self.gathered((found, failure and self._as_told(failure)))
        if failure is not None:
            raise failure
        for _, failed in told:
            if failed is not None:
                kind, said = failed
                raise kind(said)
        return [each for each, _ in told]

    def by_first(self, work: Callable[[], _T]) -> _T:
        """What the work gives in the first process, which alone does it, or the error it ends with."""
        found: Any = self.by_all(lambda: work() if self.is_main else None)
        result: _T = found[0]
        return result

    def in_turns(self, work: Callable[[], _T]) -> _T:
        """What the work gives here: done by the first process, then the first of each machine, then all.

        So that what the first ones keep in a cache is there for the others.
        """
        own = 0 if self.is_main else 1 if os.environ.get("LOCAL_RANK", "0") == "0" else 2
        done: list[_T] = []

        def turned(turn: int) -> None:
            if turn == own:
                done.append(work())

        for turn in range(1 if self.count == 1 else 3):
            self.by_all(partial(turned, turn))
        return done[0]

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
        values = [None] if self.count == 1 else self.by_all(value)
        other = next((rank for rank, each in enumerate(values) if each != values[0]), None)
        if other is not None:
            raise DataError(
                f"{what} is not the same in all processes: {_short(values[0])} in process 0, "
                f"{_short(values[other])} in process {other}. All have to see the same data"
            )

    def _as_told(self, failure: Exception) -> tuple[type[ZooError], str]:
        """An error as the other processes raise it."""
        if isinstance(failure, ZooError) and not isinstance(failure, RunStopped):
            return type(failure), str(failure)
        return ZooError, f"process {self.rank}: {type(failure).__name__}: {failure}"


def _short(value: Any) -> str:
    said = str(value)
    return said if len(said) <= 60 else f"{said[:57]}..."
