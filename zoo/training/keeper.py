"""Keeps a run: checkpoints as they fall due, the best by a metric, and the way back into the run."""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from zoo.clip import CLIP
from zoo.errors import CheckpointError, RunStopped, SpecError, suggestion
from zoo.recipe import Recipe
from zoo.training.changing import Changing
from zoo.training.checkpoint import Checkpoints, Kept
from zoo.training.claim import claimed
from zoo.training.identity import check_same, code_of_parts, numerics, sha256_of_identity
from zoo.training.live import Live
from zoo.training.processes import Processes
from zoo.training.run_folder import RunFolder, faults_named
from zoo.training.stopping import Stop

__all__ = ["Best", "Keeper"]

_log = logging.getLogger(__name__)

_MODEL = "model."


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
        model: in the modes that it trains in.
    """

    def __init__(self, run: RunFolder, recipe: Recipe, model: CLIP, processes: Processes) -> None:
        self.run, self.recipe, self.processes = run, recipe, processes
        self.changing = Changing(model)
        self._code = code_of_parts(model)
        self.best: Best | None = None
        self._since = time.monotonic()
        self._kept: Kept | None = None
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
        overwrite: bool,
    ) -> None:
        """Begin the run, or give the model the weights of its newest checkpoint, or of one of these.

        Args:
            about: gives the run's identity, from the hashes of what is frozen.

        Raises:
            CheckpointError: the run is another one, or under way in another process, or a checkpoint
                cannot be read, or not all processes see the folder.
            FolderError: another run was made there since this one was asked for.
        """
        of, step = self.processes.by_first(
            lambda: self._opened(about(self.changing.frozen()), resume, from_step, overwrite)
        )
        if not all(self.processes.gathered(self.run.holds_run)):
            raise CheckpointError(
                f"{self.run.path}: is not seen by all processes; keep the run where all machines see it"
            )
        self.checkpoints = Checkpoints(self.run.checkpoints, of)
        if step is not None:
            self._kept = self._loaded(step)
            best = self._kept.content["best"]
            self.best = None if best is None else Best(**best)

    def take_up(self, live: Live) -> None:
        """Let the rest of a run go on from that checkpoint.

        Raises:
            CheckpointError: the optimizer, or a log, is not the one that the checkpoint was made with.
        """
        self.live = live
        kept, self._kept = self._kept, None
        if kept is not None:
            self.processes.by_all(lambda: live.unpack(kept))
            self.processes.by_first(lambda: self.checkpoints.remove_after(live.steps))

    def _loaded(self, step: int) -> Kept:
        """The checkpoint of a step, whose weights the model now has, in every process."""
        read: list[Kept] = []

        def load() -> None:
            read.append(self.checkpoints.read(step))
            self.changing.load(_weights(read[0].tensors))

        self.processes.by_all(load)
        return read[0]

    def _opened(
        self, about: dict[str, Any], resume: bool, from_step: int | None, overwrite: bool
    ) -> tuple[str, int | None]:
        """What tells the run from others, and the step to go on from."""
        with faults_named(self.run.path):
            self._claims.enter_context(claimed(self.run.path))
        self.run.check_free(overwrite=overwrite, resume=resume)  # one may have been made meanwhile
        of, begun_with = sha256_of_identity(about), self.changing.sha256()
        if not (resume and self.run.holds_run):
            with faults_named(self.run.path):
                self.run.begin(
                    {
                        "run": about,
                        "begun_with": begun_with,
                        "environment": numerics(),
                        "code": self._code,
                    },
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
        if kept is not None and self.recipe.checkpoint.save == "best":
            _check_best(checkpoints, kept)
        changed = [
            f"{name} was {said['environment'].get(name)} and is {value}"
            for name, value in numerics().items()
            if said["environment"].get(name) != value
        ]
        if changed:
            _log.warning(
                "%s: the last bits of its result may not be those of a run that was not broken off: %s",
                self.run.path,
                "; ".join(changed),
            )
        others = [part for part, code in self._code.items() if said["code"].get(part) != code]
        if others:
            _log.warning(
                "%s: its result may not be that of a run that was not broken off: the code or the "
                "config of %s changed since it began",
                self.run.path,
                ", ".join(others),
            )
        return of, None if kept is None else kept.step

    def after_step(
        self, metrics: Mapping[str, float] | None, *, last: bool, stop: Stop | None = None
    ) -> None:
        """Keep the run as it stands, if that is due, and end it, if it is to stop.

        Args:
            metrics: of the judge, where it was asked after this step; in every process.
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
        signalled = (stop.signal if stop is not None else None) or 0
        writes, signalled = self.processes.largest(
            [int(self.processes.is_main and (is_best or due or late or last)), signalled]
        )
        if writes or signalled:
            self._write()
        if signalled and not last:
            name = signal.Signals(signalled).name
            raise RunStopped(
                f"stopped by {name} after step {step}, which is kept in "
                f"{self.checkpoints.path(step)}; it goes on with --resume (resume=True in code)",
                signalled,
            )

    def finish(self) -> None:
        """Give the model the weights that the run is to end with.

        Raises:
            CheckpointError: the best's checkpoint cannot be read.
            SpecError: the best is asked for, and the judge has given no number.
        """
        if self.recipe.checkpoint.save == "last":
            return
        if self.best is None:
            raise SpecError(
                "train.checkpoint.save: the best model is asked for, and the judge has given no number "
                "at any evaluation; for the last one, go on with --resume --set "
                "train.checkpoint.save=last"
            )
        if self.best.step != self.live.steps:
            self._loaded(self.best.step)

    def _write(self) -> None:
        self.live.parallel.whole()
        tensors = {f"{_MODEL}{name}": each for name, each in self.changing.tensors().items()}
        content = self.live.pack(tensors)

        def written() -> None:
            self._check_finite(tensors)
            best = None if self.best is None else asdict(self.best)
            self.checkpoints.write(self.live.steps, {"best": best, **content}, tensors)
            self.checkpoints.retain(self.recipe.checkpoint.keep, best["step"] if best else None)

        self.processes.by_first(written)
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


def _check_best(checkpoints: Checkpoints, kept: Kept) -> None:
    """Say before any step, and not after the last, that the best so far cannot be had.

    Raises:
        CheckpointError: it is gone, or not whole.
    """
    best = kept.content["best"]
    if best is not None and best["step"] != kept.step:
        try:
            checkpoints.read(best["step"])
        except CheckpointError as error:
            raise CheckpointError(
                f"{error}. It is the best so far, which the run is to end with; go on with "
                "--set train.checkpoint.save=last, and it ends with the last"
            ) from error


def _weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(_MODEL): each for name, each in tensors.items() if name.startswith(_MODEL)
    }
