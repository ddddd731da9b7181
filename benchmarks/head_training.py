"""Training a head on cached features of OpenMoji, against the same training without the cache.

Both run through `zoo.training.loop.train` with the default recipe for heads, in turn. Without the
cache the encoders are as frozen as with it, but run for every batch: on some steps only, since that
takes its time. The first step of each run warms up and is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch

import zoo
from zoo.data.pairs import Pair, load_dataset
from zoo.recipe import Recipe
from zoo.training.features import Features, image_features, text_features
from zoo.training.loop import train
from zoo.training.order import Order

BAR = 5_000
"""Pairs a second that cached features must give on two idle cores."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="counted in each turn with the cache")
    parser.add_argument("--live-steps", type=int, default=1, help="counted in each turn without it")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    pairs = load_dataset("openmoji").split("train")  # rendered in the cache of this machine
    with tempfile.TemporaryDirectory() as cache:
        os.environ["ZOO_CACHE"] = cache
        figures = measure(pairs, options.steps, options.live_steps, options.turns)
    for name, value in figures.items():
        print(f"{name:<34}{value:12,.2f}")
    ratio = figures["pairs_per_second"] / figures["pairs_per_second_without_cache"]
    print(
        f"{ratio:,.0f} times as many pairs a second as without the cache; the bar is {BAR:,} pairs/s"
    )
    if options.json:
        rounded = {name: round(value, 3) for name, value in figures.items()}
        print(json.dumps({**rounded, "ratios": {"without_cache": round(ratio, 1)}}))


def measure(pairs: Sequence[Pair], steps: int, live_steps: int, turns: int) -> dict[str, float]:
    recipe = fresh().spec.train.filled(heads_only=True)
    batch = Order(
        pairs, sampling=recipe.sampling, batch_size=recipe.batch_size, seed=recipe.seed
    ).batch_size
    fill_seconds, _ = opening(pairs)
    open_seconds, images = opening(pairs)
    cached: list[float] = []
    live: list[float] = []
    for _ in range(turns):
        cached += step_seconds(fresh(), pairs, recipe, steps)
        live += step_seconds(without_cache(fresh()), pairs, recipe, live_steps)
    return {
        "batch_size": batch,
        "pairs_per_second": batch / statistics.median(cached),
        "pairs_per_second_without_cache": batch / statistics.median(live),
        "rows_per_second": rows_per_second(images),
        "fill_seconds": fill_seconds,
        "open_seconds": open_seconds,
    }


def fresh() -> Any:
    """The encoders of starter-clip, and a head that is stepped and has learnt nothing."""
    head = {"name": "mlp-gelu", "args": {"hidden_dim": 1024, "normalize": True, "dropout": 0.5}}
    return zoo.build(
        "starter-clip",
        overrides={"trained": "none", "image.head": head, "text.head": "identity"},
    )


def opening(pairs: Sequence[Pair]) -> tuple[float, Features]:
    """Seconds until the features of both sides are there, and those of the pictures."""
    model = fresh()
    start = time.perf_counter()
    images = image_features(model, [pair.picture for pair in pairs])
    text_features(model, sorted({caption for pair in pairs for caption in pair.captions}))
    return time.perf_counter() - start, images


def without_cache(model: Any) -> Any:
    """Name what is frozen block by block, as for an encoder whose last blocks train: none does."""
    for tower in (model.image_encoder, model.text_encoder):
        blocks = tuple(f"encoder.{name}" for name, _ in tower.encoder.named_children())
        tower.frozen_parts = (*blocks, *(part for part in tower.frozen_parts if part != "encoder"))
    return model


def step_seconds(model: Any, pairs: Sequence[Pair], recipe: Recipe, steps: int) -> list[float]:
    times: list[float] = []
    recipe = recipe.model_copy(update={"epochs": None, "steps": steps + 1})
    train(model, pairs, recipe, on_step=lambda step: times.append(time.perf_counter()))
    return [later - earlier for earlier, later in pairwise(times)]


def rows_per_second(features: Features, batch: int = 512, batches: int = 200) -> float:
    asked = torch.randint(len(features), (batches, batch), generator=torch.manual_seed(0))
    start = time.perf_counter()
    for rows in asked:
        features[rows]
    return batch * batches / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
