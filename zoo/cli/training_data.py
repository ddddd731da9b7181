"""The dataset of a command that trains: what of it trains, and what it is judged by."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.data.pairs import ImageTextDataset
from zoo.errors import DataError

if TYPE_CHECKING:
    from zoo.data.columns import Columns
    from zoo.recipe import Recipe

__all__ = ["opened"]

_EVALUATED = 5_000
"""Pairs of a stream's split, at most."""


def opened(
    source: str, asked: Recipe, columns: Columns, images: Path | None
) -> tuple[ImageTextDataset, dict[str, Any]]:
    """The dataset, and what of it is trained on (a stream, if asked for) and evaluated."""
    from zoo.data.sources import open_dataset
    from zoo.data.splitting import content_keys, said_of_splits
    from zoo.data.stream import Stream, stream

    held_out = {asked.evaluation.split, "test"}
    if not asked.stream:
        dataset = open_dataset(source, columns, images=images)
        trains = [pair for split in asked.splits for pair in dataset.split(split)]
        return dataset, {**{split: dataset.split(split) for split in held_out}, "train": trains}
    if images is not None:
        raise DataError("--images: a stream has its pictures in shards or tables, or beside these")
    seed = asked.seed if asked.data_seed is None else asked.data_seed
    whole = stream(source, columns)
    pairs: dict[str, Any] = {
        split: [pair for pair, _ in islice(Stream(whole.shards, split=split).read(), _EVALUATED)]
        for split in held_out
    }
    for split, found in pairs.items():
        if not found:
            raise DataError(f"the stream {source} has no pairs of the split {split!r}")
        if columns.concept is None:
            keys = content_keys(pair.picture for pair in found)
            pairs[split] = [replace(pair, concept=keys[pair.picture]) for pair in found]
    notes = (
        f"splits: {said_of_splits(whole.drawn)}",
        f"streamed; the first {_EVALUATED:,} pairs of a split are evaluated at most",
    )
    dataset = ImageTextDataset(Path(source).name, pairs, "unknown", "unknown", notes=notes)
    return dataset, {**pairs, "train": Stream(whole.shards, split="train", seed=seed)}
