"""Going through a part of a batch a second time: the same random numbers, a gradient carried on."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import get_device_states, set_device_states

__all__ = ["RandomState", "leaf", "random_state", "replaying", "set_random_state"]


def leaf(embeds: Tensor) -> tuple[Tensor, Callable[[], None]]:
    """The embeddings cut off from their graph, and how to carry their gradient into it."""
    cut_off = embeds.detach().requires_grad_(embeds.requires_grad)

    def give_back() -> None:
        if cut_off.grad is not None:
            torch.autograd.backward(embeds, cut_off.grad)

    return cut_off, give_back


class RandomState(NamedTuple):
    """Where the random numbers are that a network may draw from."""

    python: Any
    numpy: Any
    torch: Tensor
    device: Any
    """Torch's on a device; None if that is the CPU."""


def random_state(device: torch.device) -> RandomState:
    """That of Python, NumPy and torch, on the CPU and on a device."""
    on_cpu = device.type == "cpu"
    return RandomState(
        random.getstate(),
        np.random.get_state(),
        torch.get_rng_state(),
        None if on_cpu else get_device_states(torch.empty(0, device=device)),
    )


def set_random_state(state: RandomState) -> None:
    """Go back to it."""
    random.setstate(state.python)
    np.random.set_state(state.numpy)
    torch.set_rng_state(state.torch)
    if state.device is not None:
        set_device_states(*state.device)


@contextmanager
def replaying(device: torch.device) -> Iterator[None]:
    """Leave the random state as it is found, whatever is replayed inside."""
    found = random_state(device)
    try:
        yield
    finally:
        set_random_state(found)
