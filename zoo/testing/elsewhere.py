"""Work in other processes: a few of them, started once and kept, which have imported nothing of ours."""

from __future__ import annotations

import atexit
import functools
import hashlib
import multiprocessing
import os
import pickle
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from zoo.testing.case import CheckFailed

if TYPE_CHECKING:
    from zoo.data.pairs import ImageTextDataset

__all__ = [
    "PROCESSES",
    "call",
    "call_together",
    "digest_of",
    "digest_of_splits",
    "forward",
    "forward_of_another",
    "shares",
]

PROCESSES = 2
MOST_PROCESSES = 3
LIMIT = 180.0
"""Seconds after which another process is given up."""
_T = TypeVar("_T")


def call(function: Callable[..., _T], *args: Any) -> _T:
    """What a function of this module returns in another process.

    Raises:
        CheckFailed: the process ended, or took too long; the next call gets another.
    """
    return _results([partial(_submit, function, *args)])[0]


def call_together(function: Callable[..., _T], *args: Any, processes: int = PROCESSES) -> list[_T]:
    """What it returns for each rank, at the same time, given `(rank, how many, where to meet, *args)`.

    Args:
        processes: how many, 3 at most.

    Raises:
        CheckFailed: as `call`.
    """
    with tempfile.TemporaryDirectory() as folder:
        meeting = str(Path(folder, "store"))
        return _results(
            [
                partial(_submit, function, rank, processes, meeting, *args)
                for rank in range(processes)
            ]
        )


def _results(starts: list[Callable[[], Future[_T]]]) -> list[_T]:
    try:
        return [each.result(timeout=LIMIT) for each in [start() for start in starts]]
    except BrokenProcessPool as error:
        _end_pool()
        raise CheckFailed(
            "the other process ended before it answered. (A script that runs the kit does so under "
            'if __name__ == "__main__":)'
        ) from error
    except TimeoutError as error:
        _end_pool()
        raise CheckFailed(f"another process gave no answer in {LIMIT:g} s") from error
    except Exception:
        if len(starts) > 1:  # the others may wait for the one that failed
            _end_pool()
        raise


def _submit(function: Callable[..., _T], *args: Any) -> Future[_T]:
    return _pool().submit(_as_here, sys.path, dict(os.environ), pickle.dumps((function, args)))


@functools.cache
def _pool() -> ProcessPoolExecutor:
    pool = ProcessPoolExecutor(
        MOST_PROCESSES, mp_context=multiprocessing.get_context("spawn"), initializer=_one_thread
    )
    atexit.register(pool.shutdown, wait=False, cancel_futures=True)
    return pool


def _end_pool() -> None:
    """End its processes, which may hang; the next call starts new ones."""
    pool = _pool()
    _pool.cache_clear()
    processes = list((pool._processes or {}).values())
    for process in processes:
        process.kill()
    pool.shutdown(wait=False, cancel_futures=True)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _as_here(path: list[str], environment: dict[str, str], packed: bytes) -> Any:
    sys.path[:] = path  # what can be imported there can be imported here
    os.environ.clear()  # and what was set, such as where the cache is, may be another since it started
    os.environ.update(environment)
    function, args = pickle.loads(packed)
    return function(*args)


def forward(packed: bytes, inputs: tuple[Any, ...]) -> Any:
    """Unpickle a module and run it."""
    import torch

    with torch.no_grad():
        return pickle.loads(packed)(*inputs)


def forward_of_another(maker: Callable[[], Any], state: dict[str, Any], inputs: Any) -> Any:
    """Make a module, load its state and run it."""
    import torch

    module = maker().eval()
    module.load_state_dict(state)
    with torch.no_grad():
        return module(*inputs)


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


def shares(
    rank: int,
    processes: int,
    meeting: str,
    packed: bytes,
    inputs: tuple[Any, ...],
    more: dict[str, Any],
) -> dict[str, Any]:
    """A loss on this rank's share of the rows, weighted by that: its value, and the gradients.

    Args:
        inputs: both batches.
        more: what it takes besides, a row for each pair.
    """
    import torch.distributed as dist

    dist.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=processes)
    try:
        loss = pickle.loads(packed)
        count = len(inputs[0])
        own = slice(count * rank // processes, count * (rank + 1) // processes)
        mine = [each[own].clone().requires_grad_() for each in inputs]
        value = loss(*mine, **{name: each[own] for name, each in more.items()})
        value = value * (len(mine[0]) * processes / count)
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
