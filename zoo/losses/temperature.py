"""The learnable temperature that softmax losses own, as the logarithm of its inverse."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from zoo.errors import ArgumentError

__all__ = ["bounded_scale", "logit_scale"]


def logit_scale(
    loss: str, temperature: float, learnable: bool, max_scale: float = math.inf
) -> nn.Parameter:
    """Where it starts.

    Raises:
        ArgumentError: the temperature is beyond the bound.
    """
    if temperature * max_scale < 1:
        raise ArgumentError(
            f"the loss {loss!r} takes a temperature of at least 1 / max_scale = "
            f"{1 / max_scale:g}, not {temperature:g}"
        )
    return nn.Parameter(torch.tensor(math.log(1 / temperature)), requires_grad=learnable)


def bounded_scale(parameter: Tensor, max_scale: float) -> Tensor:
    """The inverse temperature in force; beyond the bound it gets no gradient, as in CLIP."""
    return parameter.exp().clamp(max=max_scale)
