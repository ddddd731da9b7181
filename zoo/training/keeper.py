"""Keeps a run: checkpoints as they fall due, the best by a metric, and the way back into the run."""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from zoo.clip import CLIP
from zoo.data.unreadable import Unreadable
from zoo.errors import CheckpointError, RunStopped, SpecError, ZooError, suggestion
from zoo.recipe import Recipe
from zoo.training.checkpoint import Checkpoint, Checkpoints
from zoo.training.claim import claimed
from zoo.training.identity import check_same, environment, sha256_of_identity
from zoo.training.observer import Observer
from zoo.training.packing import pack, unpack
from zoo.training.parallel import Alone
from zoo.training.processes import Processes
from zoo.training.run_folder import RunFolder
from zoo.training.stopping import Stop
from zoo.training.trained import Trained

__all__ = ["Best", "Keeper", "Live"]

_log = logging.getLogger(__name__)

_MODEL = "model."
_T = TypeVar("_T")


@dataclass
class Live:
    """All of a run that changes from step to step, beside what trains.

    Args:
        unreadable: what could not be read so far.
        steps: made so far.
        loss: sum over the steps of the epoch that is under way.
        epoch_steps: made in that epoch.
        place: where the feed is, as far as the number of the step does not say it.
    """

    parallel: Alone
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler
    observers: Sequence[Observer]
    unreadable: Unreadable
    steps: int = 0
    loss: float = 0.0
    epoch_steps: int = 0
    place: Any = None

    def pack(self, tensors: dict[str, Tensor]) -> dict[str, Any]:
        """As JSON, and tensors that are added to those; every process calls it."""
        return {
            "sums": {"loss": self.loss, "steps": self.epoch_steps},
            "place": self.place,
            "unreadable": self.unreadable.state_dict(),
            "parameters": self._parameters(),
            "optimizer": pack(self.parallel.optimizer_state(self.optimizer), "optimizer", tensors),
            "schedule": pack(self.schedule.state_dict(), "schedule", tensors),
            "observers": {
                name: pack(each.state_dict(), f"observer {name}", tensors)
                for name, each in self._named_observers()
            },
        }

    def unpack(self, kept: Checkpoint) -> None:
        """Go on from there."""
        content, tensors = kept.content, kept.tensors
        if content["parameters"] != self._parameters():
            raise CheckpointError(
                f"the optimizer has other parameters, or in another order, than in the checkpoint of "
                f"step {kept.step}; go on with the zoo that wrote it"
            )
        state = unpack(content["optimizer"], tensors)
        self.parallel.load_optimizer_state(self.optimizer, state)
        self.schedule.load_state_dict(unpack(content["schedule"], tensors))
        self.steps = kept.step
        self.loss, self.epoch_steps = content["sums"]["loss"], content["sums"]["steps"]
        self.place = content["place"]
        self.unreadable.load_state_dict(content["unreadable"])
        for name, each in self._named_observers():
            if name in content["observers"]:
                each.load_state_dict(unpack(content["observers"][name], tensors))

    def _parameters(self) -> list[list[str]]:
        """Of each group of the optimizer, in its order."""
        names = Trained(self.parallel.model).names()
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

    The first process writes and decides; every process calls each method at the same point. From
    `open` to `close`, no other run is in the folder.

    Args:
        model: in train mode.
    """

    def __init__(self, run: RunFolder, recipe: Recipe, model: CLIP, processes: Processes) -> None:
        self.run, self.recipe, self.processes = run, recipe, processes
        self.trained = Trained(model)
        self.best: Best | None = None
        self._since = time.monotonic()
        self._kept: Checkpoint | None = None
        self._claims = ExitStack()

    def close(self) -> None:
        """Let others write in the folder."""
        self._claims.close()

    def open(
        self,
        about: Callable[[dict[str, str]], dict[str, Any]],
        *,
        resume: bool,
        from_step: int | None,
    ) -> None:
        """Begin the run, or give the model the weights of its newest checkpoint, or of one of these.

        Args:
            about: gives the run's identity, from the hashes of what is frozen.

        Raises:
            CheckpointError: the run is another one, or under way in another process, or a checkpoint
                cannot be read.
        """
        of, step = self._by_main(
            lambda: self._opened(about(self.trained.frozen()), resume, from_step)
        )
        self.checkpoints = Checkpoints(self.run.checkpoints, of)
        if step is None:
            return
        self._kept = self.checkpoints.read(step)
        self.trained.load(_weights(self._kept.tensors))
        best = self._kept.content["best"]
        self.best = None if best is None else Best(**best)

    def take_up(self, live: Live) -> None:
        """Let the rest of a run go on from that checkpoint.

        Raises:
            CheckpointError: the optimizer, or a log, is not the one that the checkpoint was made with.
        """
        self.live = live
        kept, self._kept = self._kept, None
        if kept is None:
            return
        failure = None
        try:
            live.unpack(kept)
        except ZooError as error:
            failure = type(error), str(error)
        for each in self.processes.gathered(failure):
            if each is not None:
                raise each[0](each[1])
        self._by_main(lambda: self.checkpoints.remove_after(live.steps))

    def _opened(
        self, about: dict[str, Any], resume: bool, from_step: int | None
    ) -> tuple[str, int | None]:
        """What tells the run from others, and the step to go on from."""
        self._claims.enter_context(claimed(self.run.path))
        of, begun_with = sha256_of_identity(about), self.trained.sha256()
        if not (resume and self.run.holds_run):
            self.run.begin(
                {"run": about, "begun_with": begun_with, "environment": environment()},
            )
            return of, None
        said = self.run.read_about()
        check_same(said["run"], about, str(self.run.path))
        checkpoints = Checkpoints(self.run.checkpoints, of)
        checkpoints.tidy()
        self.run.tidy()
        kept = checkpoints.newest() if from_step is None else checkpoints.read(from_step)
        if kept is None and said["begun_with"] != begun_with:
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
        return of, None if kept is None else kept.step

    def after_step(
        self, metrics: Mapping[str, float] | None, *, last: bool, stop: Stop | None = None
    ) -> None:
        """Keep the run as it stands, if that is due, and end it, if it is to stop.

        Args:
            metrics: of the judge, where it was asked after this step.
            last: whether it was the run's last step.

        Raises:
            CheckpointError: a checkpoint cannot be written, or the weights are not finite.
            RunStopped: it was to stop.
            SpecError: the judge does not give the metric of the recipe.
        """
        step, asked = self.live.steps, self.recipe.checkpoint
        is_best = metrics is not None and self._is_best(metrics, step)
        due = asked.steps is not None and step % asked.steps == 0
        late = time.monotonic() - self._since >= asked.seconds
        told = (stop.signal if stop is not None else None) or 0
        writes, told = self.processes.largest(
            [int(self.processes.is_main and (is_best or due or late or last)), told]
        )
        if writes or told:
            self._write()
        if told and not last:
            name = signal.Signals(told).name
            raise RunStopped(
                f"stopped by {name} after step {step}, which is kept in "
                f"{self.checkpoints.path(step)}; it goes on with --resume (resume=True in code)",
                told,
            )

    def finish(self) -> None:
        """Give the model the weights that the run is to end with."""
        best = self.best
        if self.recipe.checkpoint.save == "best" and best and best.step != self.live.steps:
            self.trained.load(_weights(self.checkpoints.read(best.step).tensors))

    def _write(self) -> None:
        self.live.parallel.whole()
        tensors = {f"{_MODEL}{name}": each for name, each in self.trained.tensors().items()}
        content = self.live.pack(tensors)

        def written() -> None:
            self._check_finite(tensors)
            best = None if self.best is None else asdict(self.best)
            self.checkpoints.write(self.live.steps, {"best": best, **content}, tensors)
            self.checkpoints.retain(self.recipe.checkpoint.keep, best["step"] if best else None)

        self._by_main(written)
        self._since = time.monotonic()

    def _check_finite(self, tensors: Mapping[str, Tensor]) -> None:
        """Weights that are no numbers take no good checkpoint's place."""
        for name, each in _weights(tensors).items():
            if each.is_floating_point() and not each.isfinite().all():
                step = self.live.steps
                raise CheckpointError(
                    f"{self.checkpoints.path(step)}: is not written, as {name} is not finite after step "
                    f"{step}; {self.checkpoints.before(step)}. Begin another run with a lower learning "
                    f"rate than {self.recipe.optimizer.learning_rate:g}"
                )

    def _by_main(self, work: Callable[[], _T]) -> _T:
        """What the first process's work gives, or the error that it ends with, in every process."""
        found: Any = None
        if self.processes.is_main:
            try:
                found = work(), None
            except ZooError as error:
                if self.processes.count == 1:
                    raise
                found = None, (type(error), str(error))
        given, failure = self.processes.gathered(found)[0]
        if failure is not None:
            kind, said = failure
            raise kind(said)
        result: _T = given
        return result

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


def _weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(_MODEL): each for name, each in tensors.items() if name.startswith(_MODEL)
    }
