"""How a training goes, in one line: rate, time left, loss, recall and temperature."""

from __future__ import annotations

import math
import time
from datetime import timedelta

from rich.progress import Progress as Bars

from zoo.cli.progress import Pace
from zoo.training.features import Progress
from zoo.training.observer import Epoch, Observer, Start, Step

__all__ = ["Display"]

_LATELY = 10.0
"""Seconds over which a rate is taken; what was before fades."""


class Display(Observer):
    """A bar with the line beside it; where nobody watches, the line alone, now and then.

    Args:
        bars: where the bar goes, and what prints lines above it.
        split: that the model is judged on.
        pace: of lines.
    """

    def __init__(self, bars: Bars, split: str, pace: Pace | None = None) -> None:
        self.bars, self.split, self.pace = bars, split, pace
        self._recall = ""
        self._pairs, self._seconds = 0.0, 0.0

    def preparing(self, progress: Progress) -> Progress:
        """The progress of all but training itself, which the line shows."""

        def shown(title: str, done: int, total: int) -> None:
            if title != "training":
                progress(title, done, total)

        return shown

    def on_start(self, start: Start) -> None:
        self.pace = self.pace or Pace()
        self._began = self._since = time.monotonic()
        self._done = start.done
        asked = start.recipe
        if start.batch_size != asked.batch_size:
            self.bars.console.print(
                f"batch   {start.batch_size:,} pairs a step: train.batch_size is {asked.batch_size:,}, "
                f"and there are no more {asked.sampling}s to draw",
                soft_wrap=True,
            )
        if start.done:
            over = ", which was the last" if start.done == start.steps else f" of {start.steps:,}"
            self.bars.console.print(f"resumed after step {start.done:,}{over}", soft_wrap=True)
        self._task = self.bars.add_task(
            "training", total=start.steps, completed=start.done, told=""
        )

    def on_step(self, step: Step) -> None:
        assert self.pace is not None
        now = time.monotonic()
        fades = math.exp((self._since - now) / _LATELY)
        self._pairs = fades * self._pairs + step.pairs
        self._seconds = fades * self._seconds + now - self._since
        self._since = now
        line = self._line(step, now)
        self.bars.update(self._task, completed=step.number, told=line)
        if not self.bars.console.is_terminal and (self.pace.due() or step.number == step.steps):
            self.bars.console.print(f"step {step.number:,}/{step.steps:,}  {line}", soft_wrap=True)

    def on_epoch(self, epoch: Epoch) -> None:
        if epoch.metrics is not None and "image_to_text" in epoch.metrics:
            recall = epoch.metrics["image_to_text"]
            self._recall = f"recall@1 {recall:.1%}"
            self.bars.console.print(
                f"epoch {epoch.epoch:>4}/{epoch.epochs}  loss {epoch.loss:.3f}  "
                f"{self.split} {self._recall}",
                soft_wrap=True,
            )
        self._since = time.monotonic()  # the judge's time is not the steps'

    def _line(self, step: Step, now: float) -> str:
        made = step.number - self._done
        left = (now - self._began) / made * (step.steps - step.number)
        temperature = step.outcome.temperature
        said = (
            f"{self._pairs / max(self._seconds, 1e-9):,.0f} pairs/s",
            f"{timedelta(seconds=round(left))} left",
            f"loss {step.outcome.loss:.3f}",
            self._recall,
            "" if temperature is None else f"temperature {temperature:.3g}",
        )
        return "  ".join(filter(None, said))
