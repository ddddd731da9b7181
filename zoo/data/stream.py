"""Pairs in a stream, for data too large to list: each once an epoch, resumed at any place."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from zoo.data.columns import Columns
from zoo.data.pairs import Pair
from zoo.data.shards import samples
from zoo.data.sources import split_of_file, table_options
from zoo.data.splitting import drawn_split
from zoo.data.tables import FORMATS, opened_tables, pair_of, with_plain_pictures
from zoo.errors import DataError

__all__ = ["Place", "RowShard", "Shard", "Stream", "TarShard", "stream"]


class Shard(Protocol):
    """A file of samples that is read from its start, or from a place that was given out before."""

    @property
    def name(self) -> str:
        """Its file, for messages."""

    @property
    def columns(self) -> Columns:
        """Where its pictures and captions are."""

    def read(self, start: int) -> Iterator[tuple[int, Pair | None]]:
        """Each sample's pair (None: it lacks something), and where the following one begins."""


@dataclass(frozen=True)
class TarShard:
    """A webdataset shard; places in it are bytes."""

    path: Path
    columns: Columns

    @property
    def name(self) -> str:
        return str(self.path)

    def read(self, start: int) -> Iterator[tuple[int, Pair | None]]:
        for sample in samples(self.path, self.columns, start):
            yield sample.following, sample.pair


@dataclass(frozen=True)
class RowShard:
    """A table's file, streamed by `datasets`; places in it are rows, and skipping reads them."""

    path: Path
    columns: Columns

    @property
    def name(self) -> str:
        return str(self.path)

    def read(self, start: int) -> Iterator[tuple[int, Pair | None]]:
        kind = FORMATS[self.path.suffix.lower()]
        found = opened_tables(kind, self.name, streaming=True, **table_options(self.path))
        rows = found["train"]
        if rows.features is None:
            rows = rows._resolve_features()
        rows = with_plain_pictures(rows)
        columns = self.columns.found(list(rows.features or {}), self.name)
        for number, row in enumerate(rows.skip(start), start + 1):
            pair = pair_of(row, columns, self.path.parent, f"{self.name}: row {number}")
            yield number, None if isinstance(pair, str) else pair


@dataclass(frozen=True)
class Place:
    """How far a reader is, as a few numbers: what a checkpoint keeps to go on from there.

    Args:
        shard: which one of the reader's, in the epoch's order.
        start: where in it the block begins whose pairs are being given out.
        sample: that block's first sample, counted from the shard's first.
        given: how many of the block's pairs were given out.
    """

    epoch: int
    shard: int = 0
    start: int = 0
    sample: int = 0
    given: int = 0

    def as_json(self) -> dict[str, int]:
        return asdict(self)


class Stream:
    """Pairs of shards in an order that the seed decides, shuffled in blocks.

    A reader reads `block` samples, shuffles them, gives them out, and reads on; nothing else is kept
    in memory, and going on from a `Place` reads one block again. With as many shards as readers or
    more, each reader has shards of its own; with fewer, readers share a shard by turns. Either way
    every pair is given once an epoch, to one reader.

    Args:
        split: `train`, `validation` or `test`, by a word in the shards' names; shards that say none
            are of `train`, and a split that no shard is of is drawn from there by
            `zoo.data.splitting.drawn_split`. None takes all.
        block: pairs that are shuffled together.

    Raises:
        DataError: there are no shards, or none of this split.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        *,
        split: str | None = None,
        block: int = 1024,
        seed: int = 0,
    ) -> None:
        if block < 1:
            raise DataError(f"a block has 1 pair or more, not {block}")
        said = {shard.name: split_of_file(Path(shard.name)) or "train" for shard in shards}
        self.drawn = [name for name in ("validation", "test") if name not in said.values()]
        if split is not None:
            home = "train" if split in self.drawn else split
            shards = [shard for shard in shards if said[shard.name] == home]
        if not shards:
            raise DataError("there are no shards" + (f" of the split {split!r}" if split else ""))
        self.shards, self.split, self.block, self.seed = list(shards), split, block, seed

    def read(
        self, epoch: int | Place = 0, *, reader: int = 0, readers: int = 1
    ) -> Iterator[tuple[Pair, Place]]:
        """One reader's pairs of an epoch, each with the place to go on from after it.

        Args:
            epoch: its number, or a place in it that this reader, among as many, gave out.
            reader: of `readers` in all: processes times the workers of each.

        Raises:
            DataError: a shard cannot be read.
        """
        if not 0 <= reader < readers:
            raise DataError(f"reader {reader} of {readers}: readers are counted from 0")
        place = Place(epoch) if isinstance(epoch, int) else epoch
        mine = self._shares(place.epoch, reader, readers)
        for number in range(place.shard, len(mine)):
            here = place if number == place.shard else Place(place.epoch, number)
            yield from self._shard(here, *mine[number])

    def _shares(self, epoch: int, reader: int, readers: int) -> list[tuple[int, int, int]]:
        """The reader's shards; of each, every how many-th sample is its own, and which first."""
        order = list(range(len(self.shards)))
        random.Random(f"shards {self.seed} {epoch}").shuffle(order)
        if readers <= len(order):
            return [(shard, 1, 0) for shard in order[reader::readers]]
        place = reader % len(order)
        return [(order[place], len(range(place, readers, len(order))), reader // len(order))]

    def _shard(
        self, place: Place, shard: int, every: int, first: int
    ) -> Iterator[tuple[Pair, Place]]:
        """What is left of a shard, block by block."""
        draw = f"{self.seed} {place.epoch} {shard}"
        block: list[Pair] = []
        begins, following, sample = place, place.start, place.sample
        skip = place.given
        for following, pair in self.shards[shard].read(place.start):
            if sample % every == first and pair is not None and self._wanted(pair):
                block.append(pair)
            sample += 1
            if len(block) == self.block:
                after = Place(place.epoch, place.shard, following, sample)
                yield from self._given(block, begins, after, skip, draw)
                block, begins, skip = [], after, 0
        if block:
            yield from self._given(block, begins, Place(place.epoch, place.shard + 1), skip, draw)

    def _given(
        self, block: list[Pair], begins: Place, after: Place, skip: int, draw: str
    ) -> Iterator[tuple[Pair, Place]]:
        random.Random(f"block {draw} {begins.sample}").shuffle(block)
        for number, pair in enumerate(block[skip:], skip + 1):
            following = Place(begins.epoch, begins.shard, begins.start, begins.sample, number)
            yield pair, (after if number == len(block) else following)

    def _wanted(self, pair: Pair) -> bool:
        if self.split == "train":
            return drawn_split(pair.concept) not in self.drawn
        return self.split not in self.drawn or drawn_split(pair.concept) == self.split


def stream(source: str | Path, columns: Columns | None = None, **options: Any) -> Stream:
    """The pairs of shards or tables: a file, a folder of them, or several files.

    Args:
        options: of `Stream`.

    Raises:
        DataError: there is nothing there that can be streamed.
    """
    path, columns = Path(source).expanduser(), columns or Columns()
    files = sorted(path.rglob("*")) if path.is_dir() else [path] if path.is_file() else []
    tars = [file for file in files if file.suffix.lower() == ".tar"]
    tables = [file for file in files if file.suffix.lower() in FORMATS]
    if not tars and not tables:
        raise DataError(f"{source}: no shard (.tar) and no table ({', '.join(FORMATS)}) to stream")
    if tars and tables:
        raise DataError(f"{source}: there are both shards and tables; name one of them")
    shards: list[Shard] = [TarShard(file, columns) for file in tars]
    shards += [RowShard(file, columns) for file in tables]
    return Stream(shards, **options)
