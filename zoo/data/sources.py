"""Any data by a path or a name: what lies there is looked at, and read in its way."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo.data.coco import coco_pairs, read_coco
from zoo.data.columns import SPLITS, Columns, split_name
from zoo.data.pairs import ImageTextDataset, Pair, load_dataset
from zoo.data.shards import samples
from zoo.data.splitting import with_all_splits
from zoo.data.tables import FORMATS, opened_tables, pairs_of
from zoo.errors import DataError, UnknownNameError

__all__ = ["open_dataset", "split_of_file", "table_options"]

_REPOSITORY = re.compile(r"\b[\w.-]+\b/\b[\w.-]+\b")
_METADATA = (".csv", ".jsonl", ".parquet")
_ACCEPTED = (
    "a folder of pictures with metadata.csv or metadata.jsonl (file_name and a caption), tables "
    f"({', '.join(FORMATS)}), COCO's captions (.json) or shards (.tar)"
)


def open_dataset(
    source: str | Path, columns: Columns | None = None, *, images: Path | None = None
) -> ImageTextDataset:
    """A dataset by the path of a file or folder, a pattern of shards, `hub:owner/name`, or its name.

    Splits that the source lacks are drawn from `train` by a hash of what pictures show, so that they
    are the same on every machine and copies of a picture stay together; `notes` says so.

    Args:
        columns: which columns hold what; the others are found by convention.
        images: the folder that paths are relative to, when it is not the file's own.

    Raises:
        DataError: nothing can be read there, or it has no such columns or no paths; the message says
            why.
        UnknownNameError: it is neither a path nor a registered name.
        MissingExtraError: `datasets` is needed and not installed.
    """
    said, columns = str(source), columns or Columns()
    if said.startswith("hub:"):
        _check_within(said, images)
        return _hub(said, columns)
    scheme = re.match(r"([a-z][a-z0-9+.-]+):", said, re.IGNORECASE)
    if scheme and not Path(said).exists():
        raise DataError(
            f"{said}: data is a path, a name, or hub:owner/name; zoo opens no {scheme[1]}: source, and "
            "starts no program for one. Fetch it first"
        )
    path = Path(said).expanduser()
    if path.is_dir():
        return _folder(path, columns, images)
    if path.is_file():
        return _files(said, [path], columns, images)
    if glob.has_magic(said):
        matches = sorted(Path(each) for each in glob.glob(str(path), recursive=True))
        if not matches:
            raise DataError(f"{said}: no file is called so")
        if len({each.suffix.lower() for each in matches}) > 1:
            raise DataError(f"{said}: files of several kinds are called so; one kind is wanted")
        return _files(said, matches, columns, images)
    try:
        found = load_dataset(said)
    except UnknownNameError as error:
        if path.suffix or path.parent != Path():
            raise DataError(
                f"{said}: there is no such file or folder. Data is {_ACCEPTED}"
            ) from error
        error.args = (f"{error}\nThere is no file or folder of that name either",)
        raise
    if columns != Columns() or images is not None:
        raise DataError(f"{said} is a registered dataset, which has no columns to name")
    return found


def table_options(path: Path) -> dict[str, Any]:
    """What `datasets` is told to read a table's file."""
    options: dict[str, Any] = {"data_files": glob.escape(os.fspath(path.resolve()))}
    if FORMATS[path.suffix.lower()] == "csv":
        options["sep"] = "\t" if path.suffix.lower() == ".tsv" else ","
    return options


def split_of_file(path: Path, root: Path | None = None) -> str:
    """The split that a file is of, by a word of its name, or of a folder between it and `root`."""
    parts = path.relative_to(root).parts[:-1] if root is not None else ()
    for part in (path.stem, *reversed(parts)):
        for word in re.split(r"[^a-z]+", part.lower()):
            if word in SPLITS:
                return split_name(word)
    return ""


def _folder(path: Path, columns: Columns, images: Path | None) -> ImageTextDataset:
    files = sorted(each for each in path.rglob("*") if each.suffix.lower() in (".tar", *FORMATS))
    described = [each for each in files if each.stem == "metadata" and each.suffix in _METADATA]
    coco = [each for each in files if each.suffix == ".json" and each.stem.startswith("captions_")]
    files = described or coco or files
    kinds = sorted({each.suffix.lower() for each in files})
    if not files:
        raise DataError(f"{path}: nothing in this folder is data for zoo. It takes {_ACCEPTED}")
    if len(kinds) > 1:
        raise DataError(
            f"{path}: there are files of several kinds ({', '.join(kinds)}); name one of them, or keep "
            "those that belong together in a folder of their own"
        )
    return _files(str(path), files, columns, images, path)


def _files(
    said: str,
    files: Sequence[Path],
    columns: Columns,
    images: Path | None,
    root: Path | None = None,
) -> ImageTextDataset:
    """Files of one kind, each of the split that its name says."""
    kind = files[0].suffix.lower()
    splits: dict[str, list[Pair]] = {}
    lacking: list[str] = []
    notes: list[str] = []
    if kind == ".tar":
        _check_within(said, images)
        notes, lacking = _add_shards(splits, said, files, columns, root)
    elif kind in FORMATS:
        for file in files:
            of_file = split_of_file(file, root)
            coco = read_coco(file) if kind == ".json" else None
            if coco is not None:
                if columns != Columns():
                    raise DataError(f"{file}: COCO's captions, which have no columns to name")
                _extend(splits, {"": coco_pairs(coco, file, images)}, of_file)
                continue
            rows = opened_tables(FORMATS[kind], str(file), **table_options(file))["train"]
            found, more = pairs_of(rows, columns, images or file.parent, str(file))
            notes += _extend(splits, found, of_file)
            lacking += more
    else:
        raise DataError(
            f"{said}: zoo does not know data by the ending {kind!r}. It takes {_ACCEPTED}"
        )
    return _made(said, Path(said), splits, [*_left_out(lacking), *notes])


def _hub(said: str, columns: Columns) -> ImageTextDataset:
    """A dataset of the hub, `hub:owner/name` or `hub:owner/name/configuration`."""
    owner, _, rest = said.removeprefix("hub:").partition("/")
    name, _, configuration = rest.partition("/")
    repository = f"{owner}/{name}"
    if not _REPOSITORY.fullmatch(repository):
        raise DataError(f"{said}: write hub:owner/name, or hub:owner/name/configuration")
    if Path(repository).exists():
        raise DataError(
            f"{said}: {repository} lies in the working folder too, and datasets would read it in place "
            f"of the hub's. Give it as ./{repository} if it is meant; else run from another folder"
        )
    found = opened_tables(repository, said, name=configuration or None)
    splits: dict[str, list[Pair]] = {}
    lacking: list[str] = []
    notes: list[str] = []
    for split, rows in found.items():
        # paths of an image folder's pictures are those of datasets, which fetched them
        base = Path() if rows.info.builder_name == "imagefolder" else None
        pairs, more = pairs_of(rows, columns, base, said)
        notes += _extend(splits, pairs, split)
        lacking += more
    first = next(iter(found.values()))
    return replace(
        _made(said, Path(name), splits, [*_left_out(lacking), *notes]),
        licence=first.info.license or "not stated",
        homepage=f"https://huggingface.co/datasets/{repository}",
    )


def _check_within(said: str, images: Path | None) -> None:
    if images is not None:
        raise DataError(f"{said} has its pictures in it, and none in a folder (--images)")


def _add_shards(
    splits: dict[str, list[Pair]],
    said: str,
    shards: Sequence[Path],
    columns: Columns,
    root: Path | None,
) -> tuple[list[str], list[str]]:
    """Add the pairs of shards to their splits; notes on other members, and what samples lack."""
    lacking: list[str] = []
    ignored: Counter[str] = Counter()
    for shard in shards:
        pairs = splits.setdefault(split_of_file(shard, root) or "train", [])
        for sample in samples(shard, columns):
            ignored.update(sample.ignored)
            if sample.pair is None:
                lacking.append(sample.lacks)
            else:
                pairs.append(sample.pair)
    if lacking and not any(splits.values()):
        raise DataError(f"{said}: no sample is whole; {lacking[0]}")
    kinds = ", ".join(f"{count} .{kind}" for kind, count in sorted(ignored.items()))
    return [f"members of other kinds passed over unread: {kinds}"] if kinds else [], lacking


def _left_out(lacking: Sequence[str]) -> list[str]:
    return [f"{len(lacking)} left out, the first: {lacking[0]}"] if lacking else []


def _extend(
    splits: dict[str, list[Pair]], more: Mapping[str, list[Pair]], otherwise: str
) -> list[str]:
    """Add pairs to their splits: what the rows say comes before what the file's name says.

    A note, where only some of the rows say a split.
    """
    unsaid = split_name(otherwise) or "train"
    for split, pairs in more.items():
        splits.setdefault(split or unsaid, []).extend(pairs)
    if "" not in more or len(more) == 1:
        return []
    return [f"{len(more[''])} pictures whose rows leave the split empty are of {unsaid}"]


def _made(
    said: str, path: Path, splits: Mapping[str, Sequence[Pair]], notes: Sequence[str] = ()
) -> ImageTextDataset:
    whole, where = with_all_splits(splits)
    dataset = ImageTextDataset(
        name=path.name.partition(".")[0] or said,
        splits=whole,
        licence="not stated",
        attribution=said,
        notes=(f"splits: {where}", *notes),
    )
    dataset.everything()
    return dataset
