"""Batch norms: which of them are live, and over the batch of all processes as in one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNormModule
from torch.overrides import TorchFunctionMode

from zoo.errors import SpecError
from zoo.recipe import Recipe

__all__ = [
    "WholeBatchNorms",
    "check_batch_norms",
    "live_batch_norms",
    "set_mode",
    "statistics_back_on_error",
]


def set_mode(model: nn.Module, recipe: Recipe) -> None:
    """Train mode for what trains; batch norms as the recipe says."""
    model.train()
    if recipe.batch_norm == "frozen":
        for module in model.modules():
            if isinstance(module, BatchNormModule):
                module.eval()


def live_batch_norms(model: nn.Module) -> list[str]:
    """Those that take the statistics of the batch, by name."""
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, BatchNormModule) and module.training
    ]


def check_batch_norms(model: nn.Module, recipe: Recipe, *, several: bool) -> None:
    """Refuse those that a step could not give the statistics of its whole batch.

    Args:
        model: in the modes that it trains in.
        several: whether in processes.

    Raises:
        SpecError: a batch in parts, or compiled encoders in several processes.
    """
    live = live_batch_norms(model)
    if live and recipe.accumulation > 1:
        raise SpecError(
            f"train.accumulation: {live[0]} and {len(live) - 1} more batch norms take their "
            "statistics from the pictures that they see together, so that a batch in "
            f"{recipe.accumulation} parts is not the whole batch; say train.batch_norm = "
            '"frozen" to keep the statistics they have, or choose an encoder without batch norm'
        )
    if live and recipe.compile and several:
        raise SpecError(
            f"train.compile: {live[0]} and {len(live) - 1} more batch norms take the statistics "
            "of all processes, which compiled encoders do not; leave it out, or say "
            'train.batch_norm = "frozen"'
        )


@contextmanager
def statistics_back_on_error(model: nn.Module) -> Iterator[None]:
    """An error inside leaves the running statistics of live batch norms as they were."""
    live = [model.get_submodule(name) for name in live_batch_norms(model)]
    before = [(buffer, buffer.clone()) for module in live for buffer in module.buffers()]
    try:
        yield
    except BaseException:
        for buffer, value in before:
            buffer.copy_(value)
        raise


class WholeBatchNorms(TorchFunctionMode):
    """Inside, a batch norm in train mode takes its statistics from the rows of all processes.

    It does so for every module that normalises by `torch.nn.functional.batch_norm`, whatever its
    class, on any device, and for unequal numbers of rows. Every process must come through as many.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function is F.batch_norm:
            return _batch_norm(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def _batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    normalised: Tensor
    normalised, mean, var, count = _BatchNorm.apply(x, weight, bias, eps)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            unbiased = var * (count / (count - 1).clamp(min=1))
            running_var.lerp_(unbiased.to(running_var.dtype), momentum)
    return normalised


class _BatchNorm(torch.autograd.Function):
    """Ioffe and Szegedy 2015, arXiv 1502.03167, with sums over all processes."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        own_mean, own_var = _moments(x)
        own_count = own_mean.new_tensor([x.numel() // x.shape[1]])
        own = torch.cat([own_mean, own_var, own_count])
        parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, own)
        means, variances, counts = torch.stack(parts).tensor_split((len(own_mean), -1), dim=1)
        count = counts.sum()
        mean = (means * counts).sum(0) / count
        var = ((variances + (means - mean).square()) * counts).sum(0) / count
        ctx.save_for_backward(x, weight, mean, var, count)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, var, count)
        return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps), mean, var, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient = gradients[0]
        x, weight, mean, var, count = ctx.saved_tensors
        # As in eval mode, where the statistics are constants.
        of_x, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, mean, var, mean, var, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack([of_weight, of_bias]).to(mean.dtype)
        dist.all_reduce(sums)
        inverse = (var + ctx.eps).rsqrt()
        scale = inverse if weight is None else inverse * weight
        slope = scale * inverse * sums[0] / count
        offset = scale * sums[1] / count - slope * mean
        # x * slope + offset, in one go
        zero, one = torch.zeros_like(mean), torch.ones_like(mean)
        of_x -= F.batch_norm(x, zero, one, slope, offset, False, 0.0, 0.0)
        wanted = ctx.needs_input_grad
        return of_x, of_weight if wanted[1] else None, of_bias if wanted[2] else None, None


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel, in float32 or float64."""
    wide = x if x.dtype == torch.float64 else x.float()
    if x.device.type == "cpu":  # 70 times as fast as var_mean where channels are last
        found: tuple[Tensor, Tensor] = torch.batch_norm_update_stats(wide, None, None, 0.0)
        return found
    var, mean = torch.var_mean(wide, [0, *range(2, x.ndim)], correction=0)
    return mean, var
