"""The learnable temperature that softmax losses own, as the logarithm of its inverse."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import ArgumentError
from zoo.losses.gather import sum_over_processes

__all__ = ["bounded_scale", "logit_scale", "temperature_of"]


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
    step took too far is not lost, as it would be behind a clamp. CLIP sets it back to the bound. In
    several processes it is the gradient of all together that decides. Of a batch in parts each part
    decides for itself: only what leads back adds up.
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
        of_all = sum_over_processes(gradient) if beyond else gradient
        return (gradient * bounded).masked_fill(beyond & (of_all < 0), 0), None


def temperature_of(parameter: Tensor, max_scale: float = math.inf) -> float:
    """The temperature in force, after the bound; it may be as high as a float goes."""
    return max(math.exp(min(-parameter.item(), 700.0)), 1 / max_scale)
