"""Pairs in a stream, for data too large to list: each once an epoch, resumed at any place."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from zoo.data.columns import Columns
from zoo.data.pairs import Pair
from zoo.data.shards import samples
from zoo.data.sources import split_of_file, table_options
from zoo.data.splitting import content_key, drawn_split, whole_split
from zoo.data.tables import FORMATS, opened_tables, pair_of, with_plain_pictures
from zoo.errors import DataError, first_line

__all__ = ["Place", "RowShard", "Shard", "Stream", "TarShard", "stream"]


class Shard(Protocol):
    """A file of samples that is read from its start, or from a place that was given out before."""

    @property
    def name(self) -> str:
        """Its file, for messages."""

    @property
    def columns(self) -> Columns:
        """Where its pictures and captions are."""

    @property
    def splits(self) -> frozenset[str]:
        """The splits that its samples are of."""

    def read(self, start: int) -> Iterator[tuple[int, str, Pair | None]]:
        """Of each sample: where the following one begins, its split, its pair (None: it lacks some)."""


@dataclass(frozen=True)
class TarShard:
    """A webdataset shard, all of one split; places in it are bytes."""

    path: Path
    columns: Columns
    split: str = "train"

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def splits(self) -> frozenset[str]:
        return frozenset({self.split})

    def read(self, start: int) -> Iterator[tuple[int, str, Pair | None]]:
        for sample in samples(self.path, self.columns, start):
            yield sample.following, self.split, sample.pair


@dataclass(frozen=True)
class RowShard:
    """A table's file, streamed by `datasets`; places in it are rows, and skipping reads them.

    Rows are of the split that they say, in a column of which all is read once, else of `split`.
    """

    path: Path
    columns: Columns
    split: str = "train"

    @property
    def name(self) -> str:
        return str(self.path)

    @cached_property
    def splits(self) -> frozenset[str]:
        column = self._columns(self._rows()).split
        if column is None:
            return frozenset({self.split})
        found: set[object] = set()
        for block in self._rows(column).with_format("arrow").iter(10_000):
            found.update(block[column].unique().to_pylist())
        columns = Columns(split=column)
        return frozenset(columns.split_of({column: cell}) or self.split for cell in found)

    def read(self, start: int) -> Iterator[tuple[int, str, Pair | None]]:
        rows = self._rows()
        columns = self._columns(rows)
        for number, row in enumerate(rows.skip(start), start + 1):
            pair = pair_of(row, columns, self.path.parent, f"{self.name}: row {number}")
            split = columns.split_of(row) or self.split
            yield number, split, None if isinstance(pair, str) else pair

    def _rows(self, *only: str) -> Any:
        """Its rows, of all columns or of some."""
        kind, options = FORMATS[self.path.suffix.lower()], table_options(self.path)
        if only and kind == "parquet":  # of which the others are not even read
            options["columns"] = list(only)
        rows = opened_tables(kind, self.name, streaming=True, **options)["train"]
        return rows.select_columns(list(only)) if only else with_plain_pictures(rows)

    def _columns(self, rows: Any) -> Columns:
        names = rows.features
        if names is None:  # of a .csv, into which datasets has not looked
            import pandas

            try:
                names = pandas.read_csv(self.path, sep=table_options(self.path)["sep"], nrows=0)
            except ValueError as error:
                raise DataError(f"{self.name}: not a table: {first_line(error)}") from error
        return self.columns.found(list(names), self.name)


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

    Where the shards say no concepts, pictures that are equal in size and in their first 16 KB have the
    same one, copies or not: only a list can compare them.

    Args:
        split: `train`, `validation`, `test`, or another one that the shards have. Of the two held out,
            those that they do not have are drawn from `train` by `zoo.data.splitting.drawn_split`.
            None takes all.
        block: pairs that are shuffled together.

    Attributes:
        splits: those that the shards have.
        drawn: those that are drawn.

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
        self.splits = frozenset().union(*(shard.splits for shard in shards))
        whole = whole_split(self.splits)
        self.drawn = [
            name
            for name in ("validation", "test")
            if whole in self.splits and name not in self.splits
        ]
        self._home = whole if split == "train" or split in self.drawn else split
        if split is not None:
            shards = [shard for shard in shards if self._home in shard.splits]
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
        for following, split, pair in self.shards[shard].read(place.start):
            if sample % every == first and pair is not None and self._home in (None, split):
                if not pair.concept:
                    pair = replace(pair, concept=content_key(pair.picture))
                if self._wanted(pair):
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
    """The pairs of shards or tables: a file, or a folder of them.

    The source's own splits are those that `zoo.data.sources.open_dataset` finds: by a word in the name
    of a file or of a folder in the source, and by a column `split`, which is read through at once.

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
    root = path if path.is_dir() else None
    kind: type[TarShard | RowShard] = TarShard if tars else RowShard
    shards = [kind(file, columns, split_of_file(file, root) or "train") for file in tars or tables]
    return Stream(shards, **options)
