"""The optimizer of a recipe, and how its rates go."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import timm.optim
import torch
from torch.optim.lr_scheduler import LambdaLR

from zoo.clip import CLIP
from zoo.errors import SpecError, suggestion
from zoo.recipe import Recipe, Schedule

__all__ = ["check_optimizer", "factor", "make_optimizer", "make_schedule", "warmup_steps"]

_timm: Any = timm.optim  # it exports these names, and not as a type checker asks
_FUSED = ("adam", "adamw")
_NOT_FUSED = ("foreach", "differentiable")
_OWN_KEYS = {"lr": "learning_rate", "weight_decay": "weight_decay"}
"""Arguments of every optimizer, and the keys of the recipe that they are given by."""


def make_optimizer(model: CLIP, recipe: Recipe) -> torch.optim.Optimizer:
    """One of timm's optimizers over all that trains, the loss included.

    Raises:
        SpecError: timm has none of this name, it does not take these arguments, or it asks for second
            derivatives.
    """
    check_optimizer(recipe)
    chosen = recipe.optimizer
    assert chosen.learning_rate is not None
    groups = model.parameter_groups(
        chosen.learning_rate,
        chosen.weight_decay,
        backbone_scale=chosen.backbone_scale,
        layer_decay=chosen.layer_decay,
        loss_learning_rate=chosen.loss_learning_rate,
    )
    args: dict[str, Any] = {**chosen.args}
    if chosen.name in _FUSED and not any(args.get(name) for name in _NOT_FUSED):
        args.setdefault("fused", True)
    try:
        made: torch.optim.Optimizer = _timm.create_optimizer_v2(
            groups, chosen.name, chosen.learning_rate, chosen.weight_decay, **args
        )
    except Exception as error:  # of many kinds, as optimizers index and compare what they are given
        raise SpecError(
            f"train.optimizer: {chosen.name!r} cannot be made with {chosen.args}: {error}"
        ) from error
    return made


def check_optimizer(recipe: Recipe) -> None:
    """Refuse an optimizer that timm has not, or that does not fit.

    Raises:
        SpecError: timm has none of this name, it does not take these arguments, or it asks for second
            derivatives.
    """
    chosen = recipe.optimizer
    known = [str(name) for name in _timm.list_optimizers()]
    if chosen.name not in known:
        raise SpecError(
            f"train.optimizer.name: timm has no optimizer {chosen.name!r}; see "
            f"timm.optim.list_optimizers().{suggestion(chosen.name, known)}"
        )
    if _timm.get_optimizer_info(chosen.name).second_order:
        raise SpecError(
            f"train.optimizer.name: {chosen.name!r} asks for second derivatives, which losses that "
            "compute their gradients by formula do not have; choose another"
        )
    _check_args(chosen.name, chosen.args)


def _check_args(name: str, args: Mapping[str, Any]) -> None:
    """timm takes more than an optimizer does, and leaves what it does not take aside without a word."""
    made_by = _timm.get_optimizer_info(name).opt_class
    if not callable(made_by):  # of a package that may not be here
        return
    takes = inspect.signature(made_by).parameters
    if any(each.kind is each.VAR_KEYWORD for each in takes.values()):
        return
    known = [each for each in takes if each not in ("params", *_OWN_KEYS)]
    for given in args:
        if given in _OWN_KEYS:
            raise SpecError(
                f"train.optimizer.args.{given}: this is train.optimizer.{_OWN_KEYS[given]}"
            )
        if given not in known:
            raise SpecError(
                f"train.optimizer.args.{given}: {name!r} has no argument {given!r}; it takes "
                f"{', '.join(known)}.{suggestion(given, known)}"
            )


def make_schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> LambdaLR:
    """The schedule of every group's rate over so many steps."""
    return LambdaLR(optimizer, factor(recipe.schedule, steps))


def warmup_steps(schedule: Schedule, steps: int) -> int:
    """How many steps the warm-up has in a run of so many."""
    warmup = schedule.warmup if isinstance(schedule.warmup, int) else schedule.warmup * steps
    return max(round(warmup), 1)


def factor(schedule: Schedule, steps: int) -> Callable[[int], float]:
    """For each step, counted from 0, the share of the peak rate that it has.

    Raises:
        SpecError: the warm-up is as long as the run.
    """
    warmup = warmup_steps(schedule, steps)
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
