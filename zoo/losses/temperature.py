"""The learnable temperature that softmax losses own, as the logarithm of its inverse."""

from __future__ import annotations

import math
from typing import Any

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
    """The inverse temperature in force, `exp(parameter)` up to the bound.

    Beyond the bound a gradient passes if it leads back, and none that leads on: a parameter that a
    step took too far is not lost, as it would be behind a clamp. CLIP sets it back to the bound. Of a
    batch in parts, or in processes, each share decides for itself there: only what leads back adds up.
    """
    scale: Tensor = _Bounded.apply(parameter, max_scale)
    return scale


class _Bounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parameter: Tensor, bound: float) -> Tensor:
        scale = parameter.exp()
        bounded = scale.clamp(max=bound)
        ctx.save_for_backward(bounded, scale > bound)
        return bounded

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        bounded, beyond = ctx.saved_tensors
        return (gradient * bounded).masked_fill(beyond & (gradient < 0), 0), None
