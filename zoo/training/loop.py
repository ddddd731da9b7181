"""The training loop: what is frozen is computed once, what trains is stepped."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import numpy as np
import torch

from zoo.clip import CLIP
from zoo.data.fingerprint import fingerprint
from zoo.data.pairs import Pair
from zoo.data.stream import Stream
from zoo.errors import CheckpointError, DataError, MissingExtraError, SpecError, TowerError
from zoo.memory import keep_freed_memory
from zoo.recipe import Recipe
from zoo.training.features import Progress
from zoo.training.feed import Feed
from zoo.training.guards import Advice, Guards
from zoo.training.identity import identity
from zoo.training.keeper import Keeper, Live
from zoo.training.log import Log
from zoo.training.not_finite import keep_batch
from zoo.training.observer import Epoch, Observer, Start, Step, Told
from zoo.training.optimizer import make_optimizer, make_schedule
from zoo.training.parallel import parallelise
from zoo.training.precision import choose
from zoo.training.run_folder import RunFolder
from zoo.training.step import Stepper
from zoo.training.stopping import stopping
from zoo.training.stream_feed import StreamFeed
from zoo.training.teacher import check_teacher
from zoo.training.trackers import Trackers

try:
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs, set_seed
except ImportError as missing:
    raise MissingExtraError("training needs accelerate: pip install 'clip-zoo[train]'") from missing

__all__ = [
    "Epoch",
    "Step",
    "check_complete",
    "compiled",
    "make_accelerator",
    "seed_step",
    "set_seed",
    "train",
]

_log = logging.getLogger(__name__)


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

    A frozen encoder runs once for each picture and each caption; its features are cached on disk.

    Args:
        pairs: what it trains on; a stream, if the recipe's `stream` says so.
        recipe: how; the model's own, `model.spec.train`, when not given.
        teacher: for losses that learn from another model's embeddings of the same pairs.
        judge: asked for metrics as often as the recipe says, and after the last epoch; in the first
            of several processes.
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
        CheckpointError: the run cannot be logged or kept, or cannot be resumed: it is another run, or
            its checkpoint is not whole, or it is under way in another process.
        DataError: the dataset is too small, a picture cannot be read, or the loss is not finite.
        FolderError: the folder holds a run, or something else.
        RunStopped: a signal came, and the run was kept.
        SpecError: nothing in the model trains, or the recipe does not fit it.
        TowerError: a tower or the loss is missing.
        TrainingError: the embeddings collapsed, or the loss diverged.
    """
    check_complete(model)
    assert model.loss is not None
    check_teacher(model.loss, teacher)
    spec = model.spec
    assert spec is not None
    recipe = (recipe or spec.train).filled(heads_only=spec.heads_only)
    if recipe.stream != isinstance(pairs, Stream):
        raise SpecError(
            f"train.stream is {str(recipe.stream).lower()}, and the pairs are "
            f"{'a stream' if isinstance(pairs, Stream) else 'a list'}; the recipe has to say it"
        )
    device = next(model.parameters()).device
    resume = resume or from_step is not None
    run = None if folder is None else RunFolder(folder)
    _check_kept(recipe, run, judge is not None, resume=resume, overwrite=overwrite)
    trackers = Trackers(recipe.trackers, run)
    accelerator = make_accelerator(device)
    keep_freed_memory()
    with _repeatable(device), ExitStack() as open_run:
        set_seed(recipe.seed)
        model.to(memory_format=torch.channels_last)
        feed: Feed | StreamFeed
        if isinstance(pairs, Stream):
            feed = StreamFeed(model, pairs, recipe, teacher=teacher)
        else:
            feed = Feed(model, pairs, recipe, progress, teacher=teacher)
        model.train()
        keeper = None
        if run is not None:
            keeper = Keeper(run, recipe, model, feed.processes)
            open_run.callback(keeper.close)
        parallel = parallelise(model, recipe, accelerator)
        optimizer = make_optimizer(parallel.model, recipe)
        per_epoch = feed.steps_per_epoch
        steps = recipe.steps or (recipe.epochs or 1) * per_epoch
        epochs = -(-steps // per_epoch)
        every = recipe.evaluation.every or max(epochs // 20, 1)
        schedule = make_schedule(optimizer, recipe, steps)
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
                    processes=feed.processes.count,
                    device=device.type,
                    precision=choose(recipe.precision, device),
                ),
                resume=resume,
                from_step=from_step,
            )
            parallel.take()
        main = feed.processes.is_main
        guards = Guards(on_advice, run.advice if run is not None and main else None)
        told = [guards, *observers, trackers, Told(on_step, on_epoch)]
        if run is not None and main:
            told.insert(0, Log(run.log, run.timing))
        live = Live(parallel, optimizer, schedule, told, feed.unreadable)
        if keeper:
            keeper.take_up(live)
        start = Start(model, recipe, steps, per_epoch, live.steps)
        with (
            stopping() if keeper else nullcontext() as stop,
            compiled(model, recipe.compile),
            _told(told, start),
            _unreadable_told(run if main else None, feed),
        ):
            for batch in feed.batches(range(live.steps, steps), live.place):
                number = live.steps + 1
                seed_step(recipe.seed, number, feed.processes.rank)
                try:
                    outcome = stepper(batch)
                except DataError as error:
                    error.args = (f"step {number}: {error}",)
                    if run is not None:
                        place = run.not_finite / f"process-{feed.processes.rank}"
                        keep_batch(place, batch, feed.named(batch), number, error)
                    raise
                live.steps, live.place = number, batch.place
                live.loss, live.epoch_steps = live.loss + outcome.loss, live.epoch_steps + 1
                epoch = -(-number // per_epoch)
                pairs_of_all = sum(batch.counts) or len(batch)
                step = Step(number, steps, outcome, epoch, pairs_of_all, feed.unreadable.count)
                for each in told:
                    each.on_step(step)
                if progress:
                    progress("training", number, steps)
                metrics = None
                if number % per_epoch == 0 or number == steps:
                    if judge is not None and (epoch % every == 0 or number == steps):
                        parallel.whole()
                        metrics = judge() if main else None
                    mean = live.loss / live.epoch_steps
                    for each in told:
                        each.on_epoch(Epoch(epoch, epochs, mean, metrics, number))
                    live.loss, live.epoch_steps = 0.0, 0
                    stepper.set_mode()
                if keeper:
                    keeper.after_step(metrics, last=number == steps, stop=stop)
        parallel.whole()
        if keeper:
            keeper.finish()
    model.eval()
    return recipe


def seed_step(seed: int, step: int, rank: int) -> None:
    """Set torch's random state for one step of one process: a function of these and of nothing before."""
    state = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0]))


def _check_kept(
    recipe: Recipe, run: RunFolder | None, judged: bool, *, resume: bool, overwrite: bool
) -> None:
    if run is not None:
        run.check_free(overwrite=overwrite, resume=resume)
    elif resume or overwrite:
        raise CheckpointError("a run is resumed, or overwritten, in a folder; say which")
    if resume and overwrite:
        raise CheckpointError(
            "a run is resumed or overwritten, and not both; leave one of them out"
        )
    if recipe.checkpoint.save == "best" and not (run is not None and judged):
        raise SpecError(
            "train.checkpoint.save: the best model is one that a judge has judged, kept in the run's "
            'folder; give both, or save the "last"'
        )


@contextmanager
def _told(observers: Sequence[Observer], start: Start) -> Iterator[None]:
    """Observers are told of the start, and, those that were, of the end."""
    with ExitStack() as stack:
        for each in observers:
            stack.callback(each.on_end)
            each.on_start(start)
        yield


@contextmanager
def _unreadable_told(run: RunFolder | None, feed: Feed | StreamFeed) -> Iterator[None]:
    """Pictures that could not be read are named in the run's folder, however it ends."""
    try:
        yield
    finally:
        if run is not None and feed.unreadable.count:
            try:
                run.unreadable.write_text(f"{feed.unreadable}\n", encoding="utf-8")
            except OSError as failure:  # what ends the run is told, and not this
                _log.warning("%s: cannot be written: %s", run.unreadable, failure.strerror)


def make_accelerator(device: torch.device) -> Accelerator:
    """Accelerate's view of the processes that this one was started among."""
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision="no",  # it is the recipe that says it
        kwargs_handlers=[
            # The others wait while the first one computes features, or evaluates.
            InitProcessGroupKwargs(timeout=timedelta(days=1)),
        ],
    )


def check_complete(model: CLIP) -> None:
    if model.image_encoder is None or model.text_encoder is None or model.loss is None:
        raise TowerError("training takes both towers and a loss; build the model with all of them")
    if not model.get_trainable_parameters():
        raise SpecError(
            "nothing in this model trains; set image.train or text.train to head or full"
        )


@contextmanager
def compiled(model: CLIP, wanted: bool) -> Iterator[None]:
    """Compiled encoders inside, where they are wanted and run at every step."""
    towers = (model.image_encoder, model.text_encoder)
    encoders = [
        tower.encoder
        for tower in towers
        if wanted and tower is not None and "encoder" not in tower.frozen_parts
    ]
    before = [encoder._compiled_call_impl for encoder in encoders]
    for encoder in encoders:
        encoder.compile()
    try:
        yield
    finally:
        for encoder, call in zip(encoders, before, strict=True):
            encoder._compiled_call_impl = call


@contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """On a GPU, kernels that add up in the same order each time. A processor's do so anyway."""
    if device.type == "cpu":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    settings: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    settings.fill_uninitialized_memory = False  # it is for finding faults, and slow
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        settings.fill_uninitialized_memory = before[1]
