"""Keeps a run: checkpoints as they fall due, the best by a metric, and the way back into the run."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from zoo.errors import CheckpointError, RunStopped, SpecError, suggestion
from zoo.recipe import Recipe
from zoo.training.checkpoint import Checkpoint, Checkpoints
from zoo.training.identity import check_same, environment, sha256_of_identity
from zoo.training.observer import Observer
from zoo.training.packing import pack, unpack
from zoo.training.run_folder import RunFolder
from zoo.training.stopping import Stop
from zoo.training.trained import Trained

__all__ = ["Best", "Keeper", "Live"]

_log = logging.getLogger(__name__)

_MODEL = "model."


@dataclass
class Live:
    """All of a run that changes from step to step.

    Args:
        steps: made so far.
        loss: sum over the steps of the epoch that is under way.
        epoch_steps: made in that epoch.
        place: where the feed is, as far as the number of the step does not say it.
    """

    trained: Trained
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler
    observers: Sequence[Observer]
    steps: int = 0
    loss: float = 0.0
    epoch_steps: int = 0
    place: Any = None

    def pack(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """As JSON and tensors."""
        tensors = {f"{_MODEL}{name}": each for name, each in self.trained.tensors().items()}
        content = {
            "sums": {"loss": self.loss, "steps": self.epoch_steps},
            "place": self.place,
            "parameters": self._parameters(),
            "optimizer": pack(self.optimizer.state_dict(), "optimizer", tensors),
            "schedule": pack(self.schedule.state_dict(), "schedule", tensors),
            "observers": {
                name: pack(each.state_dict(), f"observer {name}", tensors)
                for name, each in self._named_observers()
            },
        }
        return content, tensors

    def unpack(self, kept: Checkpoint) -> None:
        """Go on from there."""
        content, tensors = kept.content, kept.tensors
        self.load_model(kept)
        if content["parameters"] != self._parameters():
            raise CheckpointError(
                f"the optimizer has other parameters, or in another order, than in the checkpoint of "
                f"step {kept.step}; go on with the zoo that wrote it"
            )
        self.optimizer.load_state_dict(unpack(content["optimizer"], tensors))
        self.schedule.load_state_dict(unpack(content["schedule"], tensors))
        self.steps = kept.step
        self.loss, self.epoch_steps = content["sums"]["loss"], content["sums"]["steps"]
        self.place = content["place"]
        for name, each in self._named_observers():
            if name in content["observers"]:
                each.load_state_dict(unpack(content["observers"][name], tensors))

    def load_model(self, kept: Checkpoint) -> None:
        """Take on the weights of a checkpoint, and nothing else of it."""
        self.trained.load(
            {
                name.removeprefix(_MODEL): each
                for name, each in kept.tensors.items()
                if name.startswith(_MODEL)
            }
        )

    def _parameters(self) -> list[list[str]]:
        """Of each group of the optimizer, in its order."""
        names = self.trained.names()
        return [
            [names[id(each)] for each in group["params"]] for group in self.optimizer.param_groups
        ]

    def _named_observers(self) -> list[tuple[str, Observer]]:
        """By their classes, numbered where there are several of one."""
        counts: dict[str, int] = {}
        named = []
        for each in self.observers:
            name = f"{type(each).__module__}.{type(each).__qualname__}"
            counts[name] = counts.get(name, 0) + 1
            named.append((name if counts[name] == 1 else f"{name} {counts[name]}", each))
        return named


@dataclass(frozen=True)
class Best:
    """The step after which the metric was best so far, and what it was."""

    step: int
    value: float


class Keeper:
    """Writes the checkpoints of a run in its folder, and takes it up again.

    Args:
        about: the run's identity.
    """

    def __init__(
        self, run: RunFolder, about: Mapping[str, Any], recipe: Recipe, live: Live
    ) -> None:
        self.run, self.recipe, self.live = run, recipe, live
        self._about = about
        self.checkpoints = Checkpoints(run.checkpoints, sha256_of_identity(about))
        self.best: Best | None = None
        self._since = time.monotonic()

    def begin(self) -> None:
        """Make the folder that of this run, from its beginning."""
        self.run.begin(
            {
                "run": self._about,
                "begun_with": self.live.trained.sha256(),
                "environment": environment(),
            }
        )

    def resume(self, from_step: int | None = None) -> None:
        """Go on from the newest checkpoint, or from one of these; from the beginning if there is none.

        Raises:
            CheckpointError: the run is another one, or the checkpoint cannot be read.
        """
        if not self.run.holds_run:
            self.begin()
            return
        said = self.run.read_about()
        check_same(said["run"], self._about, str(self.run.path))
        kept = self.checkpoints.newest() if from_step is None else self.checkpoints.read(from_step)
        if kept is None and said["begun_with"] != self.live.trained.sha256():
            raise CheckpointError(
                f"{self.run.path}: has no checkpoint, and the model's weights are not those that the "
                "run began with; begin it anew with --overwrite (overwrite=True in code)"
            )
        changed = [
            f"{name} was {said['environment'].get(name)} and is {value}"
            for name, value in environment().items()
            if said["environment"].get(name) != value
        ]
        if changed:
            _log.warning(
                "%s: the last bits of its result may not be those of a run that was not broken off: %s",
                self.run.path,
                "; ".join(changed),
            )
        if kept is None:
            return
        self.live.unpack(kept)
        best = kept.content["best"]
        self.best = None if best is None else Best(**best)
        self.checkpoints.remove_after(kept.step)

    def after_step(
        self, metrics: Mapping[str, float] | None, *, last: bool, stop: Stop | None = None
    ) -> None:
        """Keep the run as it stands, if that is due, and end it, if it is to stop.

        Args:
            metrics: of the judge, where it was asked after this step.
            last: whether it was the run's last step.

        Raises:
            CheckpointError: a checkpoint cannot be written.
            RunStopped: it was to stop.
            SpecError: the judge does not give the metric of the recipe.
        """
        step, asked = self.live.steps, self.recipe.checkpoint
        is_best = metrics is not None and self._is_best(metrics, step)
        told = stop.signal if stop is not None else None
        due = asked.steps is not None and step % asked.steps == 0
        late = time.monotonic() - self._since >= asked.seconds
        if is_best or due or late or last or told is not None:
            self._write()
        if told is not None and not last:
            raise RunStopped(
                f"stopped by {told.name} after step {step}, which is kept in "
                f"{self.checkpoints.path(step)}; it goes on with --resume (resume=True in code)",
                told,
            )

    def finish(self) -> None:
        """Give the model the weights that the run is to end with."""
        best = self.best
        if self.recipe.checkpoint.save == "best" and best and best.step != self.live.steps:
            self.live.load_model(self.checkpoints.read(best.step))

    def _write(self) -> None:
        step = self.live.steps
        content, tensors = self.live.pack()
        best = None if self.best is None else asdict(self.best)
        self.checkpoints.write(step, {"best": best, **content}, tensors)
        self._since = time.monotonic()
        self.checkpoints.retain(
            self.recipe.checkpoint.keep, None if self.best is None else self.best.step
        )

    def _is_best(self, metrics: Mapping[str, float], step: int) -> bool:
        name = self.recipe.checkpoint.metric or next(iter(metrics), "")
        if name not in metrics:
            raise SpecError(
                f"train.checkpoint.metric: the judge gives no {name!r}; it gives "
                f"{', '.join(metrics) or 'nothing'}.{suggestion(name, metrics)}"
            )
        value = float(metrics[name])
        if math.isnan(value) or (self.best is not None and value <= self.best.value):
            return False
        self.best = Best(step, value)
        return True
