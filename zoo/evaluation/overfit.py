"""One batch, over and over: a model that cannot learn it learns no dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from zoo.augmentation import Augmentation
from zoo.clip import CLIP
from zoo.data.pairs import Pair
from zoo.errors import DataError, LossError, TrainingError
from zoo.evaluation.judge import Judge
from zoo.evaluation.retrieval import recall_at
from zoo.parameters import any_tensor
from zoo.recipe import Checkpoint, Evaluation, Recipe, Schedule
from zoo.training.chance import chance_loss
from zoo.training.features import Progress
from zoo.training.guards import Advice
from zoo.training.loop import train
from zoo.training.observer import Observer, Step

__all__ = ["Overfit", "one_batch", "overfit"]

_STEPS = 200
_SEEN = 100
"""Pairs looked at for each that a batch has room for."""
_NEAR_ZERO = 0.1
"""Share of the loss of guessing that counts as nothing."""


@dataclass(frozen=True)
class Overfit:
    """How well one batch was learnt."""

    pairs: int
    steps: int
    loss: float
    """Of the batch in eval mode, where the loss takes no more than embeddings; else the last ones."""
    chance: float | None
    """The loss of guessing, where it is known."""
    image_to_text: float
    """Recall at 1."""
    text_to_image: float
    smoothed: bool = False
    """Whether the loss has a floor, since its targets are smoothed."""

    @property
    def learnt(self) -> bool:
        """Every picture finds its caption and every caption its picture, at next to no loss."""
        found = min(self.image_to_text, self.text_to_image) == 1
        return found and (
            self.smoothed or self.chance is None or self.loss < _NEAR_ZERO * self.chance
        )

    @property
    def text(self) -> str:
        guessing = "" if self.chance is None else f" (guessing has {self.chance:.3g})"
        return (
            f"loss in eval mode {self.loss:.3g}{guessing}, recall@1 {self.image_to_text:.1%} image to "
            f"text and {self.text_to_image:.1%} text to image"
        )

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "learnt": self.learnt}


def one_batch(pairs: Iterable[Pair], size: int) -> list[Pair]:
    """The first pairs that differ in picture and caption, each with its first caption.

    Raises:
        DataError: there are no two.
    """
    chosen: list[Pair] = []
    pictures: set[object] = set()
    captions: set[str] = set()
    for pair in islice(pairs, _SEEN * size):
        picture, caption = pair.picture, pair.captions[0]
        if picture in pictures or caption in captions:
            continue
        pictures.add(picture)
        captions.add(caption)
        chosen.append(Pair(picture, (caption,), str(len(chosen))))
        if len(chosen) == size:
            break
    if len(chosen) < 2:
        raise DataError(
            f"a batch takes two pairs that differ in picture and caption, and there are {len(chosen)}"
        )
    return chosen


def overfit(
    model: CLIP,
    pairs: Iterable[Pair],
    recipe: Recipe | None = None,
    *,
    teacher: CLIP | None = None,
    progress: Progress | None = None,
    observers: Sequence[Observer] = (),
    on_advice: Callable[[Advice], None] | None = None,
) -> Overfit:
    """Train a model on one batch, without augmentation and at a constant rate, and see if it is learnt.

    As many steps as the recipe says, or 200 where it says none.

    Raises:
        DataError: there are no two pairs to tell apart.
        TrainingError: the batch was not learnt; says what it means.
    """
    assert model.spec is not None
    asked = (recipe or model.spec.train).filled(heads_only=model.spec.heads_only)
    steps = (recipe or model.spec.train).steps or _STEPS
    assert asked.batch_size is not None
    batch = one_batch(pairs, asked.batch_size)
    used = asked.model_copy(
        update={
            "epochs": None,
            "steps": steps,
            "batch_size": len(batch),
            "accumulation": min(asked.accumulation, len(batch)),
            "sampling": "pair",
            "schedule": Schedule(name="constant", warmup=min(10, steps - 1)),
            "augmentation": Augmentation(),
            "evaluation": Evaluation(),
            "checkpoint": Checkpoint(),
            "trackers": [],
            "stream": False,
            "guards": "advise",
        }
    )
    losses: list[float] = []

    def keep(step: Step) -> None:
        losses.append(step.outcome.loss)

    train(
        model,
        batch,
        used,
        teacher=teacher,
        progress=progress,
        observers=observers,
        on_step=keep,
        on_advice=on_advice,
    )
    images, texts = Judge(model, batch, precision=asked.precision).embeds()
    recall = recall_at(images, texts, (1,))
    loss: Any = model.loss
    device = any_tensor(model).device
    try:
        with torch.no_grad():
            final = loss(images.to(device), texts.to(device)).item()
    except (LossError, TypeError):
        final = sum(losses[-5:]) / len(losses[-5:])
    found = Overfit(
        len(batch),
        steps,
        final,
        chance_loss(loss, len(batch)),
        recall.image_to_text[1],
        recall.text_to_image[1],
        bool(getattr(loss, "label_smoothing", 0)),
    )
    if not found.learnt:
        rate = asked.optimizer.learning_rate
        modes = model.spec.model_dump(mode="json")
        trains = ", ".join(f"{side}.train is {modes[side]['train']}" for side in ("image", "text"))
        raise TrainingError(
            f"one batch of {len(batch)} pairs was not learnt in {steps} steps: {found.text}. A model that "
            f"cannot learn one batch learns no dataset. Give it more steps ({10 * steps}); change "
            f"train.optimizer.learning_rate ({rate:g}) tenfold, up if the loss hardly moved, down if it "
            f"jumped about; or let more of it train ({trains})"
        )
    return found
