"""`log.jsonl` and `timing.jsonl`: what a run found, and how fast; a JSON object a line.

The log has only what follows from recipe, model and data, so that the same run writes the same bytes,
however often it was broken off and resumed. Times are in a file of their own.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from zoo.errors import CheckpointError
from zoo.recipe import Recipe
from zoo.training.observer import Epoch, Observer, Start, Step
from zoo.training.run_folder import faults_named

__all__ = ["Log", "Stretch", "log_interval"]

_LINES = 200


def log_interval(recipe: Recipe, steps: int) -> int:
    """Steps from one line of the log to the next: what the recipe says, or some 200 lines in all."""
    return recipe.log_every or max(steps // _LINES, 1)


class Stretch:
    """The steps from one line of the log to the next, and their mean loss."""

    def __init__(self) -> None:
        self._every, self._loss, self._steps = 1, 0.0, 0

    def begin(self, start: Start) -> None:
        self._every = log_interval(start.recipe, start.steps)

    def mean_loss(self, step: Step) -> float | None:
        """Of the steps since the line before; None where this step has no line."""
        self._loss, self._steps = self._loss + step.outcome.loss, self._steps + 1
        if step.number % self._every and step.number < step.steps:
            return None
        mean = self._loss / self._steps
        self._loss, self._steps = 0.0, 0
        return mean

    def state_dict(self) -> dict[str, Any]:
        return {"loss": self._loss, "steps": self._steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._loss, self._steps = state["loss"], state["steps"]


class Log(Observer):
    """Writes both files.

    A line of training has the mean loss of the steps since the line before, and the rate, norm and
    temperature of its own step; one of evaluation has the judge's metrics.

    Raises:
        CheckpointError: a file cannot be written, or is not the one that a checkpoint was made with.
    """

    def __init__(self, log: Path, timing: Path) -> None:
        self._files = {"log": _Lines(log), "timing": _Lines(timing)}
        self._stretch = Stretch()
        self._timed, self._pairs, self._seconds = 0, 0, 0.0
        self._since = time.perf_counter()
        import psutil  # type: ignore[import-untyped]  # comes with accelerate

        self._process = psutil.Process()

    def on_start(self, start: Start) -> None:
        self._stretch.begin(start)
        for file in self._files.values():
            file.open()
        self._since = time.perf_counter()

    def on_step(self, step: Step) -> None:
        now = time.perf_counter()
        self._seconds, self._since = self._seconds + now - self._since, now
        self._timed, self._pairs = self._timed + 1, self._pairs + step.pairs
        loss = self._stretch.mean_loss(step)
        if loss is None:
            return
        found = step.outcome
        self._files["log"].write(
            step=step.number,
            epoch=step.epoch,
            loss=loss,
            learning_rate=found.learning_rate,
            grad_norm=found.grad_norm,
            temperature=found.temperature,
            unreadable=step.unreadable,
        )
        self._files["timing"].write(
            step=step.number,
            seconds=round(self._seconds / self._timed, 6),
            pairs_per_second=round(self._pairs / max(self._seconds, 1e-9), 2),
            memory_gb=round(self._process.memory_info().rss / 1e9, 3),
        )
        self._timed, self._pairs, self._seconds = 0, 0, 0.0

    def on_epoch(self, epoch: Epoch) -> None:
        if epoch.metrics is not None:
            metrics = dict(epoch.metrics)
            self._files["log"].write(step=epoch.step, epoch=epoch.epoch, validation=metrics)
        self._since = time.perf_counter()  # the judge's time is not the steps'

    def on_end(self) -> None:
        for file in self._files.values():
            file.close()

    def state_dict(self) -> dict[str, Any]:
        marks = {name: file.mark() for name, file in self._files.items()}
        return {"sums": self._stretch.state_dict(), **marks}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._stretch.load_state_dict(state["sums"])
        self._files["log"].cut(state["log"])
        self._files["timing"].cut(state["timing"], needed=False)


class _Lines:
    """A file of lines that grows, is marked, and can be cut off at a mark."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._bytes, self._hash = 0, hashlib.sha256()

    def open(self) -> None:
        """Open it for writing: after a `cut` behind the mark, else from nothing."""
        with faults_named(self.path):
            if not self._bytes:
                self._file = self.path.open("wb", buffering=0)
                return
            self._file = self.path.open("r+b", buffering=0)
            self._file.truncate(self._bytes)
            self._file.seek(self._bytes)

    def write(self, **content: Any) -> None:
        assert self._file is not None
        line = json.dumps(content).encode() + b"\n"
        with faults_named(self.path):
            written = 0
            while written < len(line):
                written += self._file.write(line[written:])
        self._bytes += len(line)
        self._hash.update(line)

    def mark(self) -> dict[str, Any]:
        """Where it ends now, once all of it is on the disk."""
        if self._file is not None:
            with faults_named(self.path):
                os.fsync(self._file.fileno())
        return {"bytes": self._bytes, "sha256": self._hash.hexdigest()}

    def cut(self, mark: Mapping[str, Any], *, needed: bool = True) -> None:
        """Go on from the mark; `open` cuts off what follows.

        Args:
            needed: whether it has to begin as it did then; a shorter one begins anew, if not.
        """
        with faults_named(self.path):
            content = self.path.read_bytes() if self.path.exists() else b""
        begun = content[: mark["bytes"]]
        if needed and hashlib.sha256(begun).hexdigest() != mark["sha256"]:
            raise CheckpointError(
                f"{self.path}: is not what the checkpoint goes on from: its first {mark['bytes']:,} "
                "bytes are missing or changed; put the file back as the run wrote it, go on from an "
                "earlier checkpoint with --from-step (from_step= in code), or begin anew with "
                "--overwrite (overwrite=True in code)"
            )
        if len(begun) == mark["bytes"]:
            self._bytes, self._hash = len(begun), hashlib.sha256(begun)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
