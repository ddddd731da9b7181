"""Rows of all processes, with gradients: what lets a loss see negatives from every process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import accumulate
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor

__all__ = [
    "as_one_process",
    "first_row",
    "gather_ids",
    "gather_rows",
    "row_counts",
    "sum_over_processes",
]


def row_counts(count: int, device: torch.device | None = None) -> list[int]:
    """How many rows each process has, in the order of ranks, when this one has `count`."""
    if not _several():
        return [count]
    own = torch.tensor([count], device=device)
    counts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, own)
    return [int(each) for each in torch.cat(counts).tolist()]


def gather_rows(
    rows: Float[Tensor, "rows dim"], counts: Sequence[int] | None = None
) -> Float[Tensor, "all_rows dim"]:
    """The rows of every process in the order of ranks; the rows themselves in a single process.

    The backward pass adds up what the processes ask of each row.

    Args:
        counts: what `row_counts` says, where it is known; processes are asked for it if not.
    """
    if not _several():
        return rows
    counts = counts or row_counts(len(rows), rows.device)
    gathered: Tensor = _Gather.apply(rows, counts)
    return gathered


def gather_ids(
    ids: Int[Tensor, " rows"], counts: Sequence[int] | None = None
) -> Int[Tensor, " all_rows"]:
    """The ids of every process, in the same order as `gather_rows`."""
    if not _several():
        return ids
    counts = counts or row_counts(len(ids), ids.device)
    gathered: Tensor = _Gather.apply(ids, counts)
    return gathered


def sum_over_processes(value: Tensor) -> Tensor:
    """The sum of a value that each process has; without a gradient."""
    if not _several():
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total


def first_row(counts: Sequence[int]) -> int:
    """Where this process's rows begin among the gathered ones."""
    return sum(counts[: dist.get_rank()]) if _several() else 0


@contextmanager
def as_one_process() -> Iterator[None]:
    """Inside, nothing is gathered: for a loss that is given all rows."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


_alone = ContextVar("alone", default=False)


def _several() -> bool:
    return (
        dist.is_available()
        and dist.is_initialized()
        and dist.get_world_size() > 1
        and not _alone.get()
    )


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: Sequence[int]) -> Tensor:
        ctx.counts = counts
        most = max(counts)
        if len(rows) < most:  # every process sends as many
            rows = torch.cat([rows, rows.new_zeros(most - len(rows), *rows.shape[1:])])
        gathered = [torch.empty_like(rows) for _ in counts]
        dist.all_gather(gathered, rows.contiguous())
        return torch.cat([each[:count] for each, count in zip(gathered, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        ends = list(accumulate(ctx.counts))
        rank = dist.get_rank()
        return total[ends[rank] - ctx.counts[rank] : ends[rank]], None
