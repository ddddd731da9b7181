"""What a dataset holds, measured before anybody trains on it."""

from __future__ import annotations

import hashlib
import io
import random
import statistics
import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from zoo.data.pairs import ImageTextDataset, Pair
from zoo.data.pictures import FORMATS, open_picture, read_bytes
from zoo.data.sheet import Tile, write_sheet
from zoo.errors import DataError, first_line

__all__ = ["Inspection", "Range", "inspect_dataset", "write_samples"]


@dataclass(frozen=True)
class Range:
    """The least, the median and the greatest of some numbers."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Range | None:
        """Of any numbers; None if there are none."""
        if not numbers:
            return None
        return cls(min(numbers), statistics.median(numbers), max(numbers))

    def __str__(self) -> str:
        return f"{self.least:g} / {self.median:g} / {self.most:g}"


@dataclass(frozen=True)
class SplitCounts:
    """How much is in a split."""

    pictures: int
    captions: int
    concepts: int


@dataclass(frozen=True)
class Inspection:
    """What `zoo data inspect` shows.

    Attributes:
        width, height: of the pictures that can be read, upright, in pixels.
        formats: how many pictures are of each.
        captions_per_picture, characters, words, tokens: of captions; tokens with a tokenizer only.
        cut: captions that fill the text encoder's context, or are longer and cut by it; None if no
            context is known.
        same_pictures: groups of pictures of the same bytes, by name.
        same_captions: captions of more than one picture, and of how many.
        across_splits: how many groups of the same pictures are in more than one split.
        unreadable: why each picture that cannot be read cannot; names it.
    """

    name: str
    notes: tuple[str, ...]
    splits: Mapping[str, SplitCounts]
    width: Range | None
    height: Range | None
    formats: Mapping[str, int]
    captions_per_picture: Range | None
    characters: Range | None
    words: Range | None
    tokens: Range | None
    cut: int | None
    same_pictures: Sequence[Sequence[str]]
    across_splits: int
    same_captions: Mapping[str, int]
    unreadable: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class _Seen:
    widths: list[float] = field(default_factory=list)
    heights: list[float] = field(default_factory=list)
    formats: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)
    contents: dict[bytes, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))

    def look(self, split: str, pair: Pair) -> None:
        """Decode a picture whole, so that one cut off in the middle is found."""
        try:
            data = read_bytes(pair.picture)
            self.contents[hashlib.sha256(data).digest()].append((split, str(pair.picture)))
            picture = open_picture(pair.picture)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                kind = str(image.format)
        except DataError as error:
            self.unreadable.append(first_line(error))
            return
        self.widths.append(picture.width)
        self.heights.append(picture.height)
        self.formats[kind] += 1


def inspect_dataset(
    dataset: ImageTextDataset,
    *,
    tokenizer: Callable[[list[str]], Mapping[str, Any]] | None = None,
    context_length: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Inspection:
    """Read every picture and caption of every split.

    Args:
        tokenizer: a text encoder's, to count tokens.
        context_length: tokens that it keeps of a caption.

    Raises:
        DataError: the dataset is empty.
    """
    seen, done = _Seen(), 0
    total = len(dataset.everything())
    for split, pairs in dataset.splits.items():
        for pair in pairs:
            seen.look(split, pair)
            done += 1
            if progress is not None and (done % 32 == 0 or done == total):
                progress("pictures", done, total)
    captions = [text for pairs in dataset.splits.values() for p in pairs for text in p.captions]
    shared = Counter(
        text for pairs in dataset.splits.values() for p in pairs for text in set(p.captions)
    )
    same = [group for group in seen.contents.values() if len(group) > 1]
    tokens = _token_counts(captions, tokenizer) if tokenizer is not None else []
    return Inspection(
        name=dataset.name,
        notes=dataset.notes,
        splits={name: _counts(pairs) for name, pairs in dataset.splits.items()},
        width=Range.of(seen.widths),
        height=Range.of(seen.heights),
        formats=dict(seen.formats.most_common()),
        captions_per_picture=Range.of(
            [len(pair.captions) for pairs in dataset.splits.values() for pair in pairs]
        ),
        characters=Range.of([len(text) for text in captions]),
        words=Range.of([len(text.split()) for text in captions]),
        tokens=Range.of(tokens),
        cut=sum(count >= context_length for count in tokens) if context_length else None,
        same_pictures=[[name for _, name in group] for group in same],
        across_splits=sum(len({split for split, _ in group}) > 1 for group in same),
        same_captions={text: count for text, count in shared.most_common() if count > 1},
        unreadable=seen.unreadable,
    )


def write_samples(dataset: ImageTextDataset, path: Path, *, count: int = 12, seed: int = 0) -> Path:
    """A PNG with pictures of each split, drawn by a seed, and their captions.

    Pictures that cannot be read are passed over.

    Raises:
        DataError: none can be read, or the PNG cannot be written there.
    """
    rows = []
    for split, pairs in dataset.splits.items():
        order = random.Random(f"{seed} {split}").sample(range(len(pairs)), len(pairs))
        tiles: list[Tile] = []
        for tile in (_tile(pairs[index]) for index in order):
            if len(tiles) == count:
                break
            if tile is not None:
                tiles.append(tile)
        if tiles:
            rows.append((f"{split} ({len(pairs)})", tiles))
    if not rows:
        raise DataError(f"{dataset.name}: no picture can be read")
    return write_sheet(rows, path)


def _tile(pair: Pair) -> Tile | None:
    try:
        picture = open_picture(pair.picture)
    except DataError:
        return None
    return Tile(picture, tuple(textwrap.wrap(pair.captions[0], 21)[:3]))


def _counts(pairs: Iterable[Pair]) -> SplitCounts:
    pairs = list(pairs)
    return SplitCounts(
        len(pairs), sum(len(pair.captions) for pair in pairs), len({pair.concept for pair in pairs})
    )


def _token_counts(
    captions: Sequence[str], tokenizer: Callable[[list[str]], Mapping[str, Any]]
) -> list[int]:
    counts: list[int] = []
    for start in range(0, len(captions), 256):
        mask = tokenizer(list(captions[start : start + 256]))["attention_mask"]
        counts += mask.sum(-1).tolist()
    return counts
