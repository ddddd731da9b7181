"""The training loop: what is frozen is computed once, what trains is stepped."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from zoo.clip import CLIP
from zoo.data.pairs import Pair
from zoo.errors import DataError, MissingExtraError, SpecError, TowerError
from zoo.spec import ModelSpec
from zoo.training.features import Progress
from zoo.training.feed import Feed, Sampler
from zoo.training.precision import choose
from zoo.training.recipe import Recipe

try:
    from accelerate import Accelerator
    from accelerate.utils import set_seed
except ImportError as missing:
    raise MissingExtraError("training needs accelerate: pip install 'clip-zoo[train]'") from missing

__all__ = ["Step", "heads_only", "set_seed", "train"]


@dataclass(frozen=True)
class Step:
    """How training stands after one epoch."""

    epoch: int
    epochs: int
    loss: float
    metrics: Mapping[str, float] | None
    """What the judge said after this epoch, where it was asked."""


def heads_only(spec: ModelSpec) -> bool:
    """Whether both encoders are frozen, so that training needs their features only."""
    return all(tower.train in ("head", "frozen") for tower in (spec.image, spec.text))


def train(
    model: CLIP,
    pairs: Sequence[Pair],
    recipe: Recipe,
    *,
    judge: Callable[[], Mapping[str, float]] | None = None,
    progress: Progress | None = None,
    report: Callable[[Step], None] | None = None,
) -> None:
    """Train a model in place.

    A frozen encoder runs once for each picture and each caption; its features are cached on disk.

    Args:
        judge: asked for metrics some twenty times, and after the last epoch.
        progress: told of every step, and of long preparations such as computing features.
        report: told of every epoch.

    Raises:
        DataError: the dataset is too small or has pictures that cannot be read.
        SpecError: nothing in the model trains.
        TowerError: a tower is missing.
    """
    if model.image_encoder is None or model.text_encoder is None or model.loss is None:
        raise TowerError("training takes both towers and a loss; build the model with all of them")
    if not model.get_trainable_parameters():
        raise SpecError(
            "nothing in this model trains; set image.train or text.train to head or full"
        )
    device = next(model.parameters()).device
    accelerator = Accelerator(cpu=device.type == "cpu")
    if accelerator.num_processes > 1:
        raise SpecError("training runs in one process; start it without accelerate launch")
    set_seed(recipe.seed)
    model.to(memory_format=torch.channels_last)
    precision = choose(recipe.precision, device)
    sampler = Sampler(pairs, recipe)
    feed = Feed(model, pairs, recipe, progress)
    steps = recipe.epochs * sampler.steps_per_epoch
    parameters = [*model.get_trainable_parameters(), *model.loss.parameters()]
    optimizer = torch.optim.AdamW(model.parameter_groups(recipe.learning_rate, recipe.weight_decay))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _warmup_then_cosine(recipe, steps))

    every = max(recipe.epochs // 20, 1)
    for epoch in range(1, recipe.epochs + 1):
        model.train()
        losses = []
        for image_embeds, text_embeds in feed.epoch(sampler.epoch(), precision, device):
            loss = model.loss(image_embeds.float(), text_embeds.float())
            if not loss.isfinite():
                raise DataError(
                    f"the loss is {loss.item()} in epoch {epoch}; a lower learning rate than "
                    f"{recipe.learning_rate:g} may help"
                )
            optimizer.zero_grad()
            accelerator.backward(loss)
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())
            if progress:
                progress("training", (epoch - 1) * sampler.steps_per_epoch + len(losses), steps)
        asked = judge is not None and (epoch % every == 0 or epoch == recipe.epochs)
        metrics = judge() if judge is not None and asked else None
        if report:
            report(Step(epoch, recipe.epochs, torch.stack(losses).mean().item(), metrics))
    model.eval()


def _warmup_then_cosine(recipe: Recipe, steps: int) -> Callable[[int], float]:
    warmup = max(round(recipe.warmup * steps), 1)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))

    return factor
