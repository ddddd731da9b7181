"""Going through a part of a batch a second time: the same random numbers, a gradient carried on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import get_device_states, set_device_states

__all__ = ["leaf", "random_state", "replaying", "set_random_state"]


def leaf(embeds: Tensor) -> tuple[Tensor, Callable[[], None]]:
    """The embeddings cut off from their graph, and how to carry their gradient into it."""
    cut_off = embeds.detach().requires_grad_(embeds.requires_grad)

    def give_back() -> None:
        if cut_off.grad is not None:
            torch.autograd.backward(embeds, cut_off.grad)

    return cut_off, give_back


def random_state(device: torch.device) -> tuple[Tensor, Any]:
    """That of torch, on the CPU and on a device."""
    if device.type == "cpu":
        return torch.get_rng_state(), None
    return torch.get_rng_state(), get_device_states(torch.empty(0, device=device))


def set_random_state(state: tuple[Tensor, Any]) -> None:
    """Go back to it."""
    torch.set_rng_state(state[0])
    if state[1] is not None:
        set_device_states(*state[1])


@contextmanager
def replaying(device: torch.device) -> Iterator[None]:
    """Leave the random state as it is found, whatever is replayed inside."""
    found = random_state(device)
    try:
        yield
    finally:
        set_random_state(found)
