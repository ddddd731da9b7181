"""Cells one after another in this process: what frozen encoders say is computed once for all of them."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from zoo.clip import CLIP, evaluating
from zoo.comparison.cells import Cell, data_key
from zoo.comparison.results import Cost, Ranks, Result, ResultFolder
from zoo.construction import check_device
from zoo.data.pairs import ImageTextDataset, Pair
from zoo.errors import ZooError, first_line
from zoo.evaluation.judge import Judge
from zoo.folder.half import round_to_half
from zoo.training.cut import cut
from zoo.training.execution import set_seed
from zoo.training.features import Progress
from zoo.training.loop import train
from zoo.training.observer import Epoch, Step
from zoo.training.precision import choose
from zoo.training.start import take_start
from zoo.training.teacher import load_teacher

__all__ = ["Watch", "run_cells"]

Watch = Callable[[int, Result | None], None]
"""Told of a cell by its number: None when it starts, and what it gave."""


def run_cells(
    cells: Sequence[Cell],
    dataset: ImageTextDataset,
    results: ResultFolder,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> list[Result]:
    """What every cell gives. Those whose results are there, from an earlier call too, do not run.

    A cell that fails is recorded, and tried again by the next call. Whatever stops this one, the
    cells that are finished are kept.

    Args:
        results: where they are kept.
        progress: told of the cell at work.
        watch: told when a cell starts and ends.

    Raises:
        DataError: a split that cells need is not there; none was started.
        SpecError: the device cannot be used here; none was started.
    """
    check_device(device)
    tell = watch or (lambda number, result: None)
    prints: dict[tuple[str, ...], str] = {}
    for cell in cells:
        splits = _splits(cell)
        if splits not in prints:
            prints[splits] = data_key(dataset, splits, progress)
    found: list[Result] = []
    at_hand: dict[str, Result] = {}
    for number, cell in enumerate(cells):
        computed = {
            "device": torch.device(device).type,
            "precision": choose(cell.spec.train.precision, torch.device(device)),
        }
        key = cell.key(prints[_splits(cell)], computed)
        result = at_hand.get(key) or results.get(key)
        if result is None or (result.failed and key not in at_hand):
            tell(number, None)
            said = {"key": key, "computed": computed, "spec": cell.spec.model_dump(mode="json")}
            result = _tried(cell, dataset, device, progress, said)
            results.put(result)
        at_hand[key] = result
        found.append(result)
        tell(number, result)
    return found


def _tried(
    cell: Cell,
    dataset: ImageTextDataset,
    device: str,
    progress: Progress | None,
    said: dict[str, Any],
) -> Result:
    """A cell's result, or the error that stopped it."""
    said |= {"variation": cell.variation.name, "seed": cell.seed}
    try:
        return Result(**said, **_run(cell, dataset, device, progress))
    except ZooError as error:
        return Result(**said, error=str(error))
    except Exception as error:  # a component of anyone's may raise anything
        kind = f"{type(error).__name__}: {first_line(error)}"
        return Result(**said, error=kind, traceback=traceback.format_exc())


def _run(
    cell: Cell, dataset: ImageTextDataset, device: str, progress: Progress | None
) -> dict[str, Any]:
    started = time.perf_counter()
    recipe, (*trains, validation, test) = cell.spec.train, _splits(cell)
    pairs = [pair for each in trains for pair in dataset.split(each)]
    set_seed(recipe.seed)  # heads start at random
    model = cell.plan.build(device)
    take_start(model, recipe)
    teacher = load_teacher(recipe, device)
    steps: list[tuple[float, Step]] = []
    epochs: list[Epoch] = []
    began = time.perf_counter()
    train(
        cut(model, recipe),
        pairs,
        recipe,
        teacher=teacher,
        progress=progress,
        on_step=lambda step: steps.append((time.perf_counter(), step)),
        on_epoch=epochs.append,
    )
    model.eval()
    if recipe.keep == "fp16":
        round_to_half(model)
    since, timed = _timed(steps, began)
    seconds = timed[-1][0] - since
    ranks = {
        role: _ranks(model, dataset.split(each), cell)
        for role, each in (("validation", validation), ("test", test))
    }
    trainable = [*model.get_trainable_parameters()]
    if model.loss is not None:
        trainable += [each for each in model.loss.parameters() if each.requires_grad]
    cost = Cost(
        trainable=sum(each.numel() for each in trainable),
        parameters=sum(each.numel() for each in model.parameters()),
        steps=len(steps),
        train_seconds=seconds * len(steps) / len(timed),
        pairs_per_second=sum(step.pairs for _, step in timed) / seconds,
        gflop_per_picture=_gflop(model),
        seconds=time.perf_counter() - started,
    )
    return {"ranks": ranks, "loss": epochs[-1].loss, "cost": cost}


def _splits(cell: Cell) -> tuple[str, ...]:
    """What it trains on, what ranks, and what is reported."""
    recipe = cell.spec.train
    return (*recipe.splits, recipe.evaluation.split, "test")


def _ranks(model: CLIP, pairs: list[Pair], cell: Cell) -> Ranks:
    recipe = cell.spec.train
    judge = Judge(model, pairs, precision=recipe.precision, unreadable=recipe.unreadable)
    found = judge.retrieval()
    return Ranks(
        image_to_text=found.image_to_text.ranks.tolist(),
        text_to_image=found.text_to_image.ranks.tolist(),
    )


def _timed(
    steps: Sequence[tuple[float, Step]], began: float
) -> tuple[float, Sequence[tuple[float, Step]]]:
    """Steps with no preparation in their time, and since when: all after the first; or the only one."""
    return (steps[0][0], steps[1:]) if len(steps) > 1 else (began, steps)


def _gflop(model: CLIP) -> float:
    """Multiplications (with their additions) of the image tower for one picture, in thousand million."""
    tower: Any = model.image_encoder
    picture = model.preprocess(Image.new("RGB", (64, 64), "grey"))[None]
    picture = picture.to(next(tower.parameters()).device)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), evaluating(tower):
        tower(picture)
    return float(counter.get_total_flops()) / 2e9
