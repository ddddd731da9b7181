"""The optimizer of a recipe, and how its rates go."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import timm.optim
import torch
from torch.optim.lr_scheduler import LambdaLR

from zoo.clip import CLIP
from zoo.errors import SpecError, suggestion
from zoo.recipe import Recipe, Schedule

__all__ = ["factor", "make_optimizer", "make_schedule"]

_timm: Any = timm.optim  # it exports these names, and not as a type checker asks
_FUSED = ("adam", "adamw")


def make_optimizer(model: CLIP, recipe: Recipe) -> torch.optim.Optimizer:
    """One of timm's optimizers over all that trains, the loss included.

    Raises:
        SpecError: timm has none of this name, or it does not take these arguments.
    """
    chosen = recipe.optimizer
    known = [str(name) for name in _timm.list_optimizers()]
    if chosen.name not in known:
        raise SpecError(
            f"train.optimizer.name: timm has no optimizer {chosen.name!r}; see "
            f"timm.optim.list_optimizers().{suggestion(chosen.name, known)}"
        )
    assert chosen.learning_rate is not None
    groups = model.parameter_groups(
        chosen.learning_rate,
        chosen.weight_decay,
        backbone_scale=chosen.backbone_scale,
        layer_decay=chosen.layer_decay,
        loss_learning_rate=chosen.loss_learning_rate,
    )
    args: dict[str, Any] = {**chosen.args}
    if chosen.name in _FUSED:
        args.setdefault("fused", True)
    try:
        made: torch.optim.Optimizer = _timm.create_optimizer_v2(
            groups, chosen.name, chosen.learning_rate, chosen.weight_decay, **args
        )
    except (TypeError, ValueError, ImportError, RuntimeError, AssertionError) as error:
        raise SpecError(
            f"train.optimizer: {chosen.name!r} cannot be made with {chosen.args}: {error}"
        ) from error
    return made


def make_schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> LambdaLR:
    """The schedule of every group's rate over so many steps."""
    return LambdaLR(optimizer, factor(recipe.schedule, steps))


def factor(schedule: Schedule, steps: int) -> Callable[[int], float]:
    """For each step, counted from 0, the share of the peak rate that it has.

    Raises:
        SpecError: the warm-up is as long as the run.
    """
    warmup = schedule.warmup if isinstance(schedule.warmup, int) else schedule.warmup * steps
    warmup = max(round(warmup), 1)
    if warmup >= max(steps, 2):
        raise SpecError(
            f"train.schedule.warmup: {warmup} steps of warm-up, and the run has {steps}; shorten it"
        )

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = (step - warmup) / max(steps - warmup, 1)
        falls = {
            "cosine": 0.5 * (1 + math.cos(math.pi * done)),
            "linear": 1 - done,
            "constant": 1.0,
        }
        return schedule.final + (1 - schedule.final) * falls[schedule.name]

    return share
