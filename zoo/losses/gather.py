"""Rows of all processes, with gradients: what lets a loss see negatives from every process."""

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["first_row", "gather_ids", "gather_rows"]


def gather_rows(rows: Float[Tensor, "rows dim"]) -> Float[Tensor, "all_rows dim"]:
    """The rows of every process in the order of ranks; the rows themselves in a single process.

    Every process passes as many rows as the others. The backward pass adds up what the processes
    ask of each row.
    """
    if not _several():
        return rows
    gathered: Tensor = _Gather.apply(rows)
    return gathered


def gather_ids(ids: Int[Tensor, " rows"]) -> Int[Tensor, " all_rows"]:
    """The ids of every process, in the same order as `gather_rows`."""
    if not _several():
        return ids
    gathered: Tensor = _Gather.apply(ids)
    return gathered


def first_row(count: int) -> int:
    """Where this process's `count` rows begin among the gathered ones."""
    return dist.get_rank() * count if _several() else 0


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        gathered = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(gathered, rows.contiguous())
        return torch.cat(gathered)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]
