"""Work in other processes: two of them, started once and kept, which have imported nothing of ours."""

from __future__ import annotations

import atexit
import functools
import hashlib
import multiprocessing
import pickle
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from zoo.data.pairs import ImageTextDataset

__all__ = [
    "PROCESSES",
    "call",
    "call_together",
    "digest_of",
    "digest_of_splits",
    "forward",
    "shares",
]

PROCESSES = 2
_LIMIT = 180.0
"""Seconds after which another process is given up."""
_T = TypeVar("_T")


def call(function: Callable[..., _T], *args: Any) -> _T:
    """What a function of this module returns in another process."""
    return _pool().submit(_beside, sys.path, function, *args).result(timeout=_LIMIT)


def call_together(function: Callable[..., _T], *args: Any) -> list[_T]:
    """What it returns for ranks 0 and 1, given `(rank, file to meet at, *args)`, at the same time."""
    with tempfile.TemporaryDirectory() as folder:
        meeting = str(Path(folder, "store"))
        running: list[Future[_T]] = [
            _pool().submit(_beside, sys.path, function, rank, meeting, *args)
            for rank in range(PROCESSES)
        ]
        return [each.result(timeout=_LIMIT) for each in running]


@functools.cache
def _pool() -> ProcessPoolExecutor:
    pool = ProcessPoolExecutor(
        PROCESSES, mp_context=multiprocessing.get_context("spawn"), initializer=_one_thread
    )
    atexit.register(pool.shutdown, wait=False, cancel_futures=True)
    return pool


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _beside(path: list[str], function: Callable[..., _T], *args: Any) -> _T:
    sys.path[:] = path  # what can be imported there can be imported here
    return function(*args)


def forward(packed: bytes, inputs: tuple[Any, ...]) -> Any:
    """Unpickle a module and run it."""
    import torch

    with torch.no_grad():
        return pickle.loads(packed)(*inputs)


def digest_of_splits(factory: Callable[[], ImageTextDataset]) -> str:
    """`digest_of` a dataset that is made anew."""
    return digest_of(factory())


def digest_of(dataset: ImageTextDataset) -> str:
    """A hash of which picture, captions and concept are in which split."""
    digest = hashlib.sha256()
    for split, pairs in sorted(dataset.splits.items()):
        for pair in pairs:
            digest.update(repr((split, pair.picture.name, pair.captions, pair.concept)).encode())
    return digest.hexdigest()


def shares(rank: int, meeting: str, packed: bytes, inputs: tuple[Any, ...]) -> dict[str, Any]:
    """A loss on this rank's share of the rows: its value, and the gradients."""
    import torch.distributed as dist

    dist.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=PROCESSES)
    try:
        loss = pickle.loads(packed)
        mine = [each.chunk(PROCESSES)[rank].clone().requires_grad_() for each in inputs]
        value = loss(*mine)
        value.backward()
        return {
            "value": value.detach(),
            "inputs": [each.grad for each in mine],
            "parameters": {
                name: each.grad for name, each in loss.named_parameters() if each.requires_grad
            },
        }
    finally:
        dist.destroy_process_group()
