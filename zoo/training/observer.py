"""What is told of a run as it goes, and who may be told: logs, trackers, guard rails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from zoo.clip import CLIP
from zoo.recipe import Recipe
from zoo.training.step import Outcome

__all__ = ["Epoch", "Observer", "Observers", "Start", "Step", "Told"]


@dataclass(frozen=True)
class Start:
    """What a run is, before its first step."""

    model: CLIP
    recipe: Recipe
    """With everything that was left open."""
    steps: int
    """Of the whole run."""
    steps_per_epoch: int
    batch_size: int
    """Pairs a step: as many as the recipe says, or as can be drawn."""
    done: int = 0
    """Steps that were made before, where a run is resumed."""


@dataclass(frozen=True)
class Step:
    """One step that was made."""

    number: int
    """Counted from 1."""
    steps: int
    outcome: Outcome
    epoch: int = 1
    """Counted from 1."""
    pairs: int = 0
    """In its batch."""
    unreadable: int = 0
    """Pictures of the run so far that could not be read."""


@dataclass(frozen=True)
class Epoch:
    """How training stands after one epoch."""

    epoch: int
    """Counted from 1."""
    epochs: int
    loss: float
    """Mean over its steps."""
    metrics: Mapping[str, float] | None
    """What the judge said after this epoch, where it was asked."""
    step: int = 0
    """The step that ended it."""


class Observer:
    """Is told of a run. A subclass overrides what it wants to know.

    An exception that it raises ends the run.
    """

    def on_start(self, start: Start) -> None:
        """Told before the first step, after `load_state_dict` where the run is resumed."""

    def on_step(self, step: Step) -> None:
        """Told of every step."""

    def on_epoch(self, epoch: Epoch) -> None:
        """Told of every epoch, after its last step."""

    def on_end(self) -> None:
        """Told when the run is over, in whatever way."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it, as JSON: what it needs to go on as if nothing had happened."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""


class Observers(Observer):
    """Several, told one after the other."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self.each = list(observers)

    @contextmanager
    def watching(self, start: Start) -> Iterator[None]:
        """They are told of the start, and those that were, of the end, however it comes."""
        with ExitStack() as stack:
            for one in self.each:
                stack.callback(one.on_end)
                one.on_start(start)
            yield

    def on_step(self, step: Step) -> None:
        for one in self.each:
            one.on_step(step)

    def on_epoch(self, epoch: Epoch) -> None:
        for one in self.each:
            one.on_epoch(epoch)


@dataclass
class Told(Observer):
    """An observer of plain functions.

    Args:
        progress: told of every step as `("training", number, steps)`.
    """

    step: Callable[[Step], None] | None = None
    epoch: Callable[[Epoch], None] | None = None
    progress: Callable[[str, int, int], None] | None = None

    def on_step(self, step: Step) -> None:
        if self.step is not None:
            self.step(step)
        if self.progress is not None:
            self.progress("training", step.number, step.steps)

    def on_epoch(self, epoch: Epoch) -> None:
        if self.epoch is not None:
            self.epoch(epoch)
