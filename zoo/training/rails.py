"""What goes wrong in contrastive training, one rail a fault: how it shows, and what to change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any, ClassVar

from torch import nn

from zoo.training.chance import chance_loss
from zoo.training.observer import Start, Step
from zoo.training.optimizer import warmup_steps

__all__ = ["RAILS", "Advice", "Rail"]


@dataclass(frozen=True)
class Advice:
    """What a guard rail saw."""

    name: str
    since: int
    """The step it began with."""
    step: int
    """The step it was told at."""
    what: str
    change: str
    """What to do about it, with keys and values of the recipe."""
    stops: bool
    """Whether going on is of no use."""

    @property
    def text(self) -> str:
        """All of it, in sentences."""
        return f"Since step {self.since} {self.what}. {self.change}."


@dataclass
class _Numbers:
    """What a rail has seen, as a checkpoint keeps it."""

    since: int = 0
    """First step of the faulty ones in a row; 0 where the last one was not."""
    last: list[float] = field(default_factory=list)
    """Losses, as many as make a level."""
    began: float | None = None
    best: float = math.inf
    best_at: int = 0


class Rail:
    """Watches for one fault. It is told once the fault has lasted for as many steps as `patience`."""

    name: ClassVar[str]
    stops: ClassVar[bool] = False
    told_by: ClassVar[frozenset[str]] = frozenset()
    """Rails whose advice covers this one's."""

    def __init__(self, start: Start, patience: int) -> None:
        self.start, self.patience = start, patience
        self.warm = warmup_steps(start.recipe.schedule, start.steps)
        self.numbers = _Numbers()

    def see(self, step: Step) -> Advice | None:
        """The advice, at the step where the fault has lasted long enough."""
        told = self.fault(step)
        numbers = self.numbers
        numbers.since = 0 if told is None else numbers.since or step.number
        if told is None or step.number - numbers.since + 1 < self.patience:
            return None
        return Advice(self.name, numbers.since, step.number, *told, self.stops)

    def fault(self, step: Step) -> tuple[str, str] | None:
        """What is wrong at this step, and what to change."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        return asdict(self.numbers)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.numbers = _Numbers(**state)

    def level(self, loss: float) -> tuple[float, float] | None:
        """The mean of the losses seen last, and its standard error; None until there are enough."""
        numbers, count = self.numbers, min(self.patience, 50)
        numbers.last = [*numbers.last, loss][-count:]
        if len(numbers.last) < count:
            return None
        mean = fmean(numbers.last)
        squares = math.fsum((each - mean) ** 2 for each in numbers.last)
        return mean, math.sqrt(squares / (count - 1) / count)

    @property
    def rate(self) -> float:
        rate = self.start.recipe.optimizer.learning_rate
        assert rate is not None
        return rate

    def lower_rate(self) -> str:
        return (
            f"Lower train.optimizer.learning_rate from {self.rate:g} to {self.rate / 10:g}, or lengthen "
            f"train.schedule.warmup from {self.warm} to {3 * self.warm} steps"
        )

    def lower_loss_rate(self) -> str:
        rate = self.start.recipe.optimizer.loss_learning_rate or self.rate
        return f"lower train.optimizer.loss_learning_rate from {rate:g} to {rate / 10:g}"


class _Collapse(Rail):
    """All embeddings of a side become one: their cosines differ by less than the temperature resolves."""

    name, stops = "collapse", True
    resolved, usual = 0.1, 0.07
    """The share of the temperature, and the temperature of a loss that has none or a higher one."""
    sides: ClassVar = {"image": "all pictures", "text": "all captions"}

    def fault(self, step: Step) -> tuple[str, str] | None:
        found = step.outcome
        least = self.resolved * min(found.temperature or self.usual, self.usual)
        for side, cosine in (("image", found.image_cosine), ("text", found.text_cosine)):
            if cosine is not None and 1 - cosine < least and step.number > self.warm:
                return (
                    f"the embeddings of {self.sides[side]} have collapsed into one: within a batch "
                    f"their mean cosine is {cosine:.5f}",
                    self.lower_rate(),
                )
        return None


class _Divergence(Rail):
    """The loss rises for good, above where it began, or by half of what it had gained."""

    name, stops = "divergence", True
    told_by = frozenset({"collapse"})
    above, gain, lost, errors, small = 0.5, 0.2, 0.5, 5, 0.5
    """Shares of the loss at the start, which counts as `small` at least; standard errors of its mean."""

    def fault(self, step: Step) -> tuple[str, str] | None:
        if (found := self.level(step.outcome.loss)) is None:
            return None
        (level, error), numbers = found, self.numbers
        if numbers.began is None:
            # A first stretch that rises steeply must not pass for where the run began.
            numbers.began = min(level, fmean(numbers.last[:5]))
        if level < numbers.best:
            numbers.best, numbers.best_at = level, step.number
        gained, size = numbers.began - numbers.best, max(abs(numbers.began), self.small)
        too_high = level > numbers.began + self.above * size
        lost = gained > self.gain * size and level > numbers.best + self.lost * gained
        if not (too_high or lost) or level < numbers.best + self.errors * error:
            return None
        return (
            f"the loss has been far above where it was: {level:.3g} on average, after "
            f"{numbers.began:.3g} at the start and {numbers.best:.3g} at best, at step "
            f"{numbers.best_at}",
            self.lower_rate(),
        )


class _Flat(Rail):
    """The temperature is so high that no two cosines differ enough for a softmax."""

    name = "high temperature"
    high = 1.0

    def fault(self, step: Step) -> tuple[str, str] | None:
        now = step.outcome.temperature
        if now is None or now < self.high or _learnable_scale(self.start) is None:
            return None
        return (
            f"the temperature has been above {self.high:g}, where all cosines weigh alike; it is "
            f"{now:.3g}",
            self.lower_loss_rate().capitalize(),
        )


class _Bound(Rail):
    """The temperature is as low as the loss lets it be."""

    name = "temperature at its bound"

    def fault(self, step: Step) -> tuple[str, str] | None:
        now, bound = step.outcome.temperature, getattr(self.start.model.loss, "max_scale", math.inf)
        if now is None or now > (1 + 1e-6) / bound or _learnable_scale(self.start) is None:
            return None
        return (
            f"the temperature has been at its bound, {1 / bound:g}: a lower one would lower the loss",
            f"After a long run this is usual. Early in one, {self.lower_loss_rate()}, raise "
            f"loss.args.max_scale from {bound:g} to {2 * bound:g}, or keep the temperature as it is "
            "with loss.args.learnable = false",
        )


class _Chance(Rail):
    """The loss does not get below that of embeddings that say nothing; for InfoNCE, log(batch)."""

    name = "no better than chance"
    told_by = frozenset({_Collapse.name, _Divergence.name, _Flat.name})
    near = 0.02
    """Share of that loss which counts as nothing."""

    def __init__(self, start: Start, patience: int) -> None:
        super().__init__(start, max(2 * patience, start.steps // 10))
        assert start.model.loss is not None
        self.chance = chance_loss(start.model.loss, start.batch_size)

    def fault(self, step: Step) -> tuple[str, str] | None:
        found, numbers = self.level(step.outcome.loss), self.numbers
        lately = fmean(numbers.last[-5:])
        numbers.best = min(numbers.best, lately)
        if self.chance is None or found is None or step.number <= self.warm:
            return None
        if found[0] < (1 - self.near) * self.chance:
            return None
        what = (
            f"the loss has not been below what guessing gives: {found[0]:.3g} on average, where guessing "
            f"among {self.start.batch_size} pairs has {self.chance:.3g}"
        )
        if numbers.best < (1 - 5 * self.near) * self.chance:
            return f"{what}, and it was {numbers.best:.3g} before", self.lower_rate()
        return (
            what,
            "See with zoo train --overfit-batch whether the model can learn one batch. If it can, raise "
            f"train.optimizer.learning_rate from {self.rate:g} to {10 * self.rate:g}, and look with "
            "zoo data inspect whether captions belong to their pictures; if it cannot, let more of it "
            "train (image.train, text.train)",
        )


RAILS: tuple[type[Rail], ...] = (_Collapse, _Divergence, _Flat, _Bound, _Chance)


def _learnable_scale(start: Start) -> nn.Parameter | None:
    scale = getattr(start.model.loss, "logit_scale", None)
    return scale if isinstance(scale, nn.Parameter) and scale.requires_grad else None
