"""The training loop: what is frozen is computed once, what trains is stepped."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from zoo.clip import CLIP
from zoo.data.fingerprint import fingerprint
from zoo.data.pairs import Pair
from zoo.data.stream import Stream
from zoo.errors import DataError
from zoo.memory import keep_freed_memory
from zoo.recipe import Recipe
from zoo.training.batch import Batch
from zoo.training.batch_norm import set_mode
from zoo.training.checks import check_complete, check_kept, check_streamed
from zoo.training.execution import (
    agreed_precision,
    compiled,
    repeatable,
    seed_step,
    set_seed,
)
from zoo.training.features import Progress
from zoo.training.feed import Feed
from zoo.training.fitting import check_fitting, fit_heads
from zoo.training.guards import Advice, Guards
from zoo.training.identity import identity
from zoo.training.keeper import Keeper
from zoo.training.live import Live
from zoo.training.log import Log
from zoo.training.not_finite import keep_batch
from zoo.training.observer import Epoch, Observer, Observers, Start, Step, Told
from zoo.training.optimizer import make_optimizer, make_schedule
from zoo.training.parallel import parallelise
from zoo.training.processes import Processes, make_accelerator
from zoo.training.run_folder import RunFolder
from zoo.training.step import Outcome, Stepper
from zoo.training.stopping import stopping
from zoo.training.stream_feed import StreamFeed
from zoo.training.teacher import check_teacher
from zoo.training.trackers import Trackers

__all__ = ["train"]


def train(
    model: CLIP,
    pairs: Sequence[Pair] | Stream,
    recipe: Recipe | None = None,
    *,
    teacher: CLIP | None = None,
    judge: Callable[[], Mapping[str, float]] | None = None,
    progress: Progress | None = None,
    on_step: Callable[[Step], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_advice: Callable[[Advice], None] | None = None,
    observers: Sequence[Observer] = (),
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    from_step: int | None = None,
    overwrite: bool = False,
    fingerprints: Mapping[str, Any] | None = None,
) -> Recipe:
    """Train a model in place. The same recipe on the same machine gives the same weights, bit for bit.

    A frozen encoder runs once for each picture and each caption, before the first step, and its features
    are cached on disk, if its preprocessing is data; on pairs of a stream it runs at each step, and nothing
    is cached. The random states of Python, NumPy and torch are set anew, and stay so.

    Args:
        pairs: what it trains on; a stream, if the recipe's `stream` says so.
        recipe: how; the model's own, `model.spec.train`, when not given.
        teacher: for losses that learn from another model's embeddings of the same pairs.
        judge: asked for metrics as often as the recipe says, and after the last epoch. Of several
            processes, all are given it and the first one asks.
        progress: told of every step, and of long preparations such as computing features.
        on_step: told of every step.
        on_epoch: told of every epoch.
        on_advice: told what the guard rails see; see `zoo.training.guards`.
        observers: told of all of it, in this order; in several processes, all tell theirs.
        folder: where the run is logged, and kept so that it can be resumed; see
            `zoo.training.run_folder`. The first SIGTERM or Ctrl-C then ends the run with a checkpoint.
        resume: go on with the run in the folder, from its newest checkpoint. It ends with the bits of a
            run that was not broken off.
        from_step: go on from the checkpoint of this step instead.
        overwrite: replace the run that is in the folder.
        fingerprints: of further data that the run depends on, such as what the judge judges by.

    Returns:
        The recipe with everything that it left open.

    Raises:
        CacheError: features of frozen encoders cannot be kept.
        CheckpointError: the run cannot be logged or kept, or cannot be resumed: it is another run, or
            its checkpoint is not whole, or it is under way in another process.
        DataError: the dataset is too small, a picture cannot be read, or the loss is not finite.
        FolderError: the folder holds a run, or something else.
        LossError: the loss cannot be computed from a batch.
        MissingExtraError: a package that the recipe needs is not installed.
        RunStopped: a signal came, and the run was kept.
        SpecError: nothing in the model trains, or the recipe does not fit it, or a frozen encoder says
            something else each time, or another `Accelerator` of the process stands in the way, or a GPU
            has no kernel that repeats itself for what trains.
        TowerError: a tower or the loss is missing.
        TrainingError: the embeddings collapsed, or the loss diverged.
        WeightsError: a file of a tokenizer is missing or damaged.
    """
    check_complete(model)
    assert model.loss is not None
    check_teacher(model.loss, teacher)
    spec = model.spec
    assert spec is not None
    asked = (recipe or spec.train).filled(heads_only=spec.heads_only)
    check_streamed(asked, pairs)
    check_fitting(model, streamed=asked.stream)
    device = next(model.parameters()).device
    resume = resume or from_step is not None
    run = None if folder is None else RunFolder(folder)
    check_kept(
        asked,
        run,
        judged=judge is not None,
        resume=resume,
        from_step=from_step,
        overwrite=overwrite,
    )
    trackers = Trackers(asked.trackers, run)
    accelerator = make_accelerator(device)
    processes = Processes(device)
    precision = agreed_precision(asked, device, processes, run if resume else None)
    recipe = asked.model_copy(update={"precision": precision})
    keep_freed_memory()
    with repeatable(device), ExitStack() as open_run:
        set_seed(recipe.seed)
        model.to(memory_format=torch.channels_last)
        feed: Feed | StreamFeed = (
            StreamFeed(model, pairs, recipe, teacher=teacher)
            if isinstance(pairs, Stream)
            else Feed(model, pairs, recipe, progress, teacher=teacher)
        )
        open_run.callback(model.eval)
        fit_heads(model, feed)
        set_mode(model, recipe)
        keeper = None
        if run is not None:
            keeper = Keeper(run, recipe, model, processes)
            open_run.callback(keeper.close)
        parallel = parallelise(model, recipe, accelerator)
        optimizer = make_optimizer(parallel.model, recipe)
        length = _Length.of(recipe, feed.steps_per_epoch)
        schedule = make_schedule(optimizer, recipe, length.steps)
        stepper = Stepper(model, recipe, optimizer, schedule, accelerator.backward, parallel)
        if keeper:  # after all that may refuse the recipe, as it clears away a run that is replaced
            keeper.open(
                lambda frozen: identity(
                    spec=spec,
                    recipe=recipe,
                    frozen=frozen,
                    teacher=teacher,
                    data={
                        "train": fingerprint(pairs, progress, workers=max(recipe.workers, 1)),
                        **(fingerprints or {}),
                    },
                    processes=processes.count,
                    device=device.type,
                    precision=precision,
                ),
                resume=resume,
                from_step=from_step,
                overwrite=overwrite,
            )
            parallel.take()
        written = run if processes.is_main else None
        watched: list[Observer] = [Log(written.log, written.timing)] if written else []
        watched.append(Guards(on_advice, written.advice if written else None))
        watched += [*observers, trackers, Told(on_step, on_epoch, progress)]
        told = Observers(watched)
        live = Live(parallel, optimizer, schedule, watched, feed.unreadable)
        if keeper:
            keeper.take_up(live)
        if written:
            open_run.callback(written.name_unreadable, feed.unreadable)
        start = Start(model, asked, length.steps, length.per_epoch, feed.batch_size, live.steps)
        with (
            stopping() if keeper else nullcontext() as stop,
            compiled(model, recipe.compile),
            told.watching(start),
        ):
            for batch in feed.batches(range(live.steps, length.steps), live.place):
                number = live.steps + 1
                seed_step(recipe.seed, number, processes.rank)
                outcome = _stepped(stepper, batch, number, feed, run)
                live.count(outcome.loss, batch.place)
                told.on_step(_step(number, length, outcome, batch, feed))
                metrics = None
                if judge is not None and length.is_judged(number):
                    parallel.whole()
                    metrics = processes.by_first(judge)
                if length.ends_epoch(number):
                    epoch, mean = length.epoch(number), live.mean_loss()
                    told.on_epoch(Epoch(epoch, length.epochs, mean, metrics, number))
                    stepper.set_mode()
                if keeper:
                    keeper.after_step(metrics, last=number == length.steps, stop=stop)
        parallel.whole()
        if keeper:
            keeper.finish()
    return asked


@dataclass(frozen=True)
class _Length:
    """How many steps a run has, where its epochs end, and after which of them it is judged."""

    steps: int
    per_epoch: int
    every: int
    """Epochs from one judgement to the next; the last step is judged too."""

    @classmethod
    def of(cls, recipe: Recipe, per_epoch: int) -> _Length:
        steps = recipe.steps or (recipe.epochs or 1) * per_epoch
        epochs = -(-steps // per_epoch)
        return cls(steps, per_epoch, recipe.evaluation.every or max(epochs // 20, 1))

    @property
    def epochs(self) -> int:
        return self.epoch(self.steps)

    def epoch(self, step: int) -> int:
        """That a step is in, counted from 1."""
        return -(-step // self.per_epoch)

    def ends_epoch(self, step: int) -> bool:
        return step % self.per_epoch == 0 or step == self.steps

    def is_judged(self, step: int) -> bool:
        due = self.ends_epoch(step) and self.epoch(step) % self.every == 0
        return due or step == self.steps


def _stepped(
    stepper: Stepper, batch: Batch, number: int, feed: Feed | StreamFeed, run: RunFolder | None
) -> Outcome:
    """One step. A batch whose loss is no number is kept in the run's folder."""
    try:
        return stepper(batch)
    except DataError as error:
        error.args = (f"step {number}: {error}",)
        if run is not None:
            place = run.not_finite / f"process-{feed.processes.rank}"
            keep_batch(place, batch, feed.named(batch), number, error)
        raise


def _step(
    number: int, length: _Length, outcome: Outcome, batch: Batch, feed: Feed | StreamFeed
) -> Step:
    """What is told of one."""
    pairs_of_all = sum(batch.counts) or len(batch)
    epoch, unread = length.epoch(number), feed.unreadable.count
    return Step(number, length.steps, outcome, epoch, pairs_of_all, unread)
