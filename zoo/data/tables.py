"""Tables of pictures and captions, image folders among them, read by Hugging Face's `datasets`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.cache import cache_folder
from zoo.data.columns import Columns, texts
from zoo.data.held import Held
from zoo.data.pairs import Pair
from zoo.data.splitting import content_keys
from zoo.errors import DataError, MissingExtraError, ZooError, first_line

__all__ = [
    "FORMATS",
    "Cell",
    "Loose",
    "opened_tables",
    "pair_of",
    "pairs_of",
    "with_plain_pictures",
]

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".jsonl": "json",
    ".json": "json",
}
"""Which builder of `datasets` reads a file, by its ending."""


@dataclass(frozen=True, eq=False)
class Cell(Held):
    """A picture in a cell of a table that is mapped from disk."""

    table: Any = field(repr=False)
    row: int
    column: str
    called: str

    @property
    def name(self) -> str:
        return self.called

    @property
    def size(self) -> int:
        return len(self._view())

    def read(self, most: int | None = None) -> bytes:
        return bytes(self._view()[:most])

    def _view(self) -> memoryview:
        import pyarrow as pa

        cell = self.table[self.row : self.row + 1][self.column][0]
        if isinstance(cell, pa.StructScalar):
            cell = cell["bytes"]
        return memoryview(cell.as_buffer())


@dataclass(frozen=True, eq=False)
class Loose(Held):
    """A picture in memory, as a stream gives it."""

    data: bytes = field(repr=False)
    called: str

    @property
    def name(self) -> str:
        return self.called

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, most: int | None = None) -> bytes:
        return self.data[:most]


def opened_tables(
    builder: str, source: str, *, streaming: bool = False, **options: Any
) -> Mapping[str, Any]:
    """What `datasets.load_dataset` gives, split by split; it never runs code from the data.

    Tables are kept as Arrow files under `$ZOO_CACHE`, and mapped into memory from there.

    Raises:
        MissingExtraError: `datasets` is not installed.
        DataError: it cannot read the source; with its reason.
    """
    try:
        import datasets
    except ImportError as missing:
        raise MissingExtraError(
            "tables of pictures are read by datasets: pip install 'clip-zoo[data]'"
        ) from missing
    shown = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        found: Mapping[str, Any] = datasets.load_dataset(
            builder,
            streaming=streaming,
            cache_dir=os.fspath(cache_folder("datasets")),
            **options,
        )
    except ZooError:
        raise
    except Exception as error:  # datasets wraps what its many readers raise, each in its own way
        raise DataError(f"{source}: datasets cannot read it: {_reason(error)}") from error
    finally:
        if not shown:
            datasets.enable_progress_bars()
    return found


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {first_line(error)}"


def with_plain_pictures(rows: Any) -> Any:
    """A table whose pictures are not decoded: their bytes, or the path of a file."""
    import datasets

    for name, feature in (rows.features or {}).items():
        if isinstance(feature, datasets.Image):
            rows = rows.cast_column(name, datasets.Image(decode=False))
    return rows


def pairs_of(
    rows: Any, columns: Columns, base: Path | None, source: str
) -> tuple[dict[str, list[Pair]], list[str]]:
    """The pairs of a table by the split that its rows say, `""` where they say none; what rows lack.

    Rows of one picture, by its path or by all its bytes, become one pair with all their captions.

    Raises:
        DataError: a column is missing, or no row has both a picture and a caption.
    """
    rows = with_plain_pictures(rows)
    columns = columns.found(rows.column_names, source)
    wanted = [
        name for name in (columns.image, columns.caption, columns.split, columns.concept) if name
    ]
    table = rows.select_columns(wanted).with_format("arrow")
    found: list[tuple[str, Pair]] = []
    lacking: list[str] = []
    for number, row in enumerate(_without_bytes(table, str(columns.image))):
        pair = pair_of(row, columns, base, f"{source}: row {number + 1}", (table, number))
        if isinstance(pair, str):
            lacking.append(pair)
        else:
            found.append((columns.split_of(row), pair))
    if lacking and not found:
        raise DataError(f"no row has both a picture and a caption; {lacking[0]}")
    keys = content_keys(pair.picture for _, pair in found if isinstance(pair.picture, Held))
    splits: dict[str, dict[str, Pair]] = {}
    for split, pair in found:
        group = splits.setdefault(split, {})
        key = keys.get(pair.picture) or str(pair.picture)
        known = group.get(key)
        if known is not None:
            more = tuple(each for each in pair.captions if each not in known.captions)
            pair = Pair(known.picture, known.captions + more, known.concept)
        group[key] = pair
    return {name: list(group.values()) for name, group in splits.items()}, lacking


def _without_bytes(table: Any, image: str) -> Iterator[dict[str, Any]]:
    """Rows as Python's own values; of a picture in a cell, `...` in place of its bytes."""
    import pyarrow as pa

    for start in range(0, len(table), 1000):
        block = table[start : start + 1000]
        for cell, row in zip(block[image], block.drop_columns([image]).to_pylist(), strict=True):
            said: object
            kind = cell.type
            if (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)) and cell.is_valid:
                said = {"bytes": ..., "path": None}
            elif isinstance(cell, pa.StructScalar) and cell.is_valid and cell["bytes"].is_valid:
                said = {"bytes": ..., "path": cell["path"].as_py()}
            else:
                said = cell.as_py()
            yield {**row, image: said}


def pair_of(
    row: Mapping[str, Any],
    columns: Columns,
    base: Path | None,
    where: str,
    place: tuple[Any, int] | None = None,
) -> Pair | str:
    """A row as a pair, without a concept where no column says one; or what it lacks, in words.

    Args:
        base: what paths in it are relative to; None where paths are no pictures.
        place: the table and the number of the row, for pictures in cells.
    """
    assert columns.image is not None
    assert columns.caption is not None
    said = row[columns.image]
    picture: Path | Held
    if isinstance(said, Mapping) and said.get("bytes") is None:
        said = said.get("path")
    if isinstance(said, str) and said.strip() and base is not None:
        picture = base / said
    elif isinstance(said, Mapping):
        called = f"{where} ({said['path']})" if said.get("path") else where
        picture = (
            Cell(*place, columns.image, called)
            if place is not None
            else Loose(said["bytes"], called)
        )
    elif isinstance(said, bytes):
        picture = Loose(said, where)
    else:
        return f"{where}: no picture is in the column {columns.image!r}, but {said!r:.60}"
    captions = tuple(text.strip() for text in texts(row[columns.caption]) if text.strip())
    if not captions:
        said = row[columns.caption]
        return f"{where}: no caption is in the column {columns.caption!r}, but {said!r:.60}"
    concept = row.get(columns.concept) if columns.concept else None
    return Pair(picture, captions, "" if concept is None else str(concept))
