"""How fast each stage of a training run is, by the run's own functions, and which one bounds it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

import torch
from torch import Tensor

from zoo.clip import CLIP, evaluating
from zoo.data.augment import Augmenter
from zoo.data.pairs import Pair
from zoo.data.pictures import open_picture, read_bytes
from zoo.memory import keep_freed_memory
from zoo.parameters import any_tensor
from zoo.recipe import Recipe
from zoo.training.checks import check_complete
from zoo.training.execution import compiled
from zoo.training.feed import Feed
from zoo.training.optimizer import make_optimizer, make_schedule
from zoo.training.order import Order
from zoo.training.precision import Measured, autocast, choose, measured
from zoo.training.step import Stepper
from zoo.training.teacher import check_teacher

__all__ = ["Bench", "Stage", "bench"]

_PICTURES = 32


@dataclass(frozen=True)
class Stage:
    """One stage. Seconds are for one picture, text or pair, by one process."""

    name: str
    seconds: float
    when: Literal["once", "each step"]
    """`once`: for what is frozen; its result is cached."""

    @property
    def per_second(self) -> float:
        return 1 / self.seconds


@dataclass(frozen=True)
class Bench:
    """What was measured."""

    stages: tuple[Stage, ...]
    batch_size: int
    workers: int
    """Processes that prepare pictures at each step; 0: none are read, or this one does it."""
    precision: Literal["fp32", "bf16"]
    measured: Measured
    compile: bool
    pairs_per_second: float
    """Of training as a whole, if pictures are prepared while the model computes."""
    bound: str
    """The stage that takes longest."""
    advice: str

    def as_json(self) -> dict[str, Any]:
        stages = [{**asdict(each), "per_second": each.per_second} for each in self.stages]
        return {**asdict(self), "stages": stages}


def bench(
    model: CLIP,
    pairs: Sequence[Pair],
    recipe: Recipe | None = None,
    steps: int = 3,
    *,
    teacher: CLIP | None = None,
) -> Bench:
    """Time the stages of this model's training on some of these pairs.

    The steps are true ones: they change the model's weights.

    Args:
        recipe: the model's own when not given.
        steps: how many are timed, after one that is not.
        teacher: for losses that learn from one.

    Raises:
        DataError: the dataset is too small, or has a picture that cannot be read.
        SpecError: nothing in the model trains, or the recipe does not fit it.
        TowerError: a tower or the loss is missing.
    """
    check_complete(model)
    assert model.spec is not None
    assert model.loss is not None
    check_teacher(model.loss, teacher)
    recipe = (recipe or model.spec.train).filled(heads_only=model.spec.heads_only)
    assert recipe.batch_size is not None
    assert recipe.data_seed is not None
    assert recipe.sampling is not None
    order = Order(
        pairs, sampling=recipe.sampling, batch_size=recipe.batch_size, seed=recipe.data_seed
    )
    drawn = [index for step in range(2) for index in order.step(step).pairs.tolist()]
    sample = [pairs[index] for index in dict.fromkeys(drawn)]
    few = recipe.model_copy(
        update={"workers": 0, "sampling": "pair", "batch_size": order.batch_size}
    )
    image: Any = model.image_encoder
    device = any_tensor(model).device
    keep_freed_memory()
    model.to(memory_format=torch.channels_last)
    precision = choose(recipe.precision, device)
    trains = "encoder" not in image.frozen_parts
    supply = _pictures(image, sample, recipe, "each step" if trains else "once")
    encoding = _once(model, sample[:_PICTURES], precision, device)
    stepping = _steps(model, sample, few, steps, device, teacher)
    workers = recipe.workers if trains else 0
    in_turn = [each for each in (*encoding, *stepping) if each.when == "each step"]
    seconds = {each.name: each.seconds for each in in_turn}
    in_step = sum(seconds.values())
    if trains:
        prepared = sum(each.seconds for each in supply)
        at_once = min(workers, os.cpu_count() or 1)
        seconds |= {each.name: each.seconds / max(at_once, 1) for each in supply}
        fed = prepared / max(at_once, 1)
        whole = max(in_step, fed) if workers else in_step + prepared
    else:
        whole = in_step
    bound = max(seconds, key=seconds.__getitem__)
    return Bench(
        stages=(*supply, *encoding, *stepping),
        batch_size=order.batch_size,
        workers=workers,
        precision=precision,
        measured=measured(device.type),
        compile=recipe.compile,
        pairs_per_second=1 / whole,
        bound=bound,
        advice=_advice(bound, model, recipe),
    )


def _pictures(
    image: Any, pairs: Sequence[Pair], recipe: Recipe, when: Literal["once", "each step"]
) -> list[Stage]:
    """Reading, decoding and augmenting: the last two from differences, as they are one function."""
    augment = Augmenter(image.encoder.preprocess, recipe.augmentation)
    pictures = [pair.picture for pair in pairs][:_PICTURES]
    augment.read(pictures[0], 0)
    read = _each(lambda picture: read_bytes(picture), pictures)
    opened = _each(lambda picture: open_picture(picture), pictures)
    whole = _each(lambda picture: augment.read(picture, 0), pictures)
    opened = min(opened, whole)  # a JPEG that is cut is decoded faster than it is opened
    decode, varied = max(opened - read, 1e-9), max(whole - opened, 1e-9)
    return [
        Stage("read", read, when),
        Stage("decode", decode, when),
        Stage("augment" if when == "each step" else "preprocess", varied, when),
    ]


def _once(
    model: CLIP,
    pairs: Sequence[Pair],
    precision: Literal["fp32", "bf16"],
    device: torch.device,
) -> list[Stage]:
    """Encoders that are frozen, whose features are computed once."""
    stages = []
    image: Any = model.image_encoder
    text: Any = model.text_encoder
    if "encoder" in image.frozen_parts:
        pixels = torch.stack([model.preprocess(pair.picture) for pair in pairs])
        pixels = pixels.to(device, memory_format=torch.channels_last)
        with evaluating(image), autocast(precision, device):
            seconds = _best(lambda: image.features(pixels), device)
        stages.append(Stage("image features", seconds / len(pairs), "once"))
    captions = [pair.captions[0] for pair in pairs]
    tokens = {name: ids.to(device) for name, ids in model.tokenize(captions).items()}
    when: Literal["once", "each step"] = "once" if "encoder" in text.frozen_parts else "each step"
    seconds = _best(lambda: model.tokenize(captions), device)
    stages.append(Stage("tokenize", seconds / len(pairs), when))
    if when == "once":
        with evaluating(text), autocast(precision, device):
            seconds = _best(lambda: text.features(**tokens), device)
        stages.append(Stage("text features", seconds / len(pairs), "once"))
    return stages


def _steps(
    model: CLIP,
    pairs: Sequence[Pair],
    recipe: Recipe,
    steps: int,
    device: torch.device,
    teacher: CLIP | None,
) -> list[Stage]:
    """Whole steps, with the times at which backward and the update begin and end.

    The forward pass is the rest: normalisation, loss and clipping are in it.
    """
    marks: dict[str, float] = {}

    def backward(loss: Tensor) -> None:
        begun = _now(device)
        loss.backward()  # type: ignore[no-untyped-call]
        marks["backward"] = marks.get("backward", 0.0) + _now(device) - begun

    feed = Feed(model, pairs, recipe, teacher=teacher)
    optimizer = make_optimizer(model, recipe)
    schedule = make_schedule(optimizer, recipe, 1000)
    stepper = Stepper(model, recipe, optimizer, schedule, backward)
    optimizer.register_step_pre_hook(lambda *_: marks.update(update=_now(device)))
    optimizer.register_step_post_hook(lambda *_: marks.update(updated=_now(device)))
    found: dict[str, list[float]] = {"forward": [], "backward": [], "optimizer": []}
    text: Any = model.text_encoder
    summed = "encoder" in text.frozen_parts and getattr(model.loss, "sums_over_images", False)
    replayed = recipe.accumulation > 1 and not summed
    with compiled(model, recipe.compile):
        for number in range(steps + 1):
            batch = next(feed.batches(range(number, number + 1)))
            marks.clear()
            start = _now(device)
            stepper(batch)
            total = _now(device) - start
            if number:
                update = marks["updated"] - marks["update"]
                found["backward"].append(marks["backward"])
                found["optimizer"].append(update)
                found["forward"].append(total - update - marks["backward"])
    model.eval()
    names = {"forward": "forward and replay"} if replayed else {}
    return [
        Stage(names.get(name, name), median(values) / len(batch), "each step")
        for name, values in found.items()
    ]


def _advice(bound: str, model: CLIP, recipe: Recipe) -> str:
    if bound in ("read", "decode", "augment"):
        free = (os.cpu_count() or 1) > recipe.workers
        first = f"more workers (train.workers, now {recipe.workers})" if free else "more processors"
        then = {
            "read": "a faster disk",
            "decode": "pictures stored at about the size that the encoder sees",
            "augment": "less augmentation (train.augmentation)",
        }
        return f"{first}, or {then[bound]}"
    if bound == "optimizer":
        return "larger batches (train.batch_size), or fewer weights that train"
    if bound == "tokenize":
        return "shorter captions, or text.train = head, with which each is tokenized once"
    towers: dict[str, Any] = {"image": model.image_encoder, "text": model.text_encoder}
    training = [side for side, tower in towers.items() if "encoder" not in tower.frozen_parts]
    if not training:
        return "encoders run once only: it is the heads and the loss that take this time"
    compiling = "" if recipe.compile else "train.compile, "
    smaller = "smaller pictures or " if "image" in training else ""
    frozen = " and ".join(f"{side}.train" for side in training)
    return f"{compiling}{smaller}a smaller encoder, or {frozen} = {{ last = 1 }} or head"


def _each(work: Callable[[Any], object], items: Sequence[Any]) -> float:
    """Seconds for one item: the median, so that a moment's other work does not count."""
    seconds = []
    for item in items:
        start = time.perf_counter()
        work(item)
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def _best(work: Callable[[], object], device: torch.device) -> float:
    seconds = []
    for _ in range(3):
        start = _now(device)
        with torch.no_grad():
            work()
        seconds.append(_now(device) - start)
    return min(seconds)


def _now(device: torch.device) -> float:
    if device.type != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter()
