"""Webdataset shards: tar files whose members, by name, make samples. Read in place, nothing unpacked."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from zoo.data.columns import Columns, texts, usual_caption
from zoo.data.held import Held
from zoo.data.pairs import Pair
from zoo.errors import DataError, suggestion

__all__ = ["PICTURES", "Member", "Sample", "samples"]

PICTURES = ("jpg", "jpeg", "png", "webp", "gif", "tif", "tiff", "bmp")
"""Endings of members that are pictures."""

_TEXTS = ("txt", "text", "caption")
_LONGEST = 1 << 20


@dataclass(frozen=True)
class Member(Held):
    """A picture within a tar file: its place there."""

    shard: Path
    member: str
    offset: int
    length: int

    @property
    def name(self) -> str:
        return f"{self.shard}/{self.member}"

    @property
    def size(self) -> int:
        return self.length

    def read(self, most: int | None = None) -> bytes:
        wanted = self.size if most is None else min(most, self.size)
        try:
            with self.shard.open("rb") as file:
                file.seek(self.offset)
                data = file.read(wanted)
        except OSError as error:
            raise DataError(f"the shard cannot be read: {error}") from error
        if len(data) < wanted:
            raise DataError("the shard ends within this picture; it was cut off")
        return data


@dataclass
class Sample:
    """The members of one name.

    Attributes:
        key: the shard and the name.
        pair: None where it lacks a picture or a caption; without a concept where no column says one.
        following: where the next sample begins in the shard, in bytes.
        lacks: what, in words, if anything.
        ignored: endings of members that were not looked at, such as pickles.
    """

    key: str
    pair: Pair | None
    following: int
    lacks: str = ""
    ignored: tuple[str, ...] = ()


def samples(shard: Path, columns: Columns | None = None, start: int = 0) -> Iterator[Sample]:
    """The samples of a shard in order, from a place that an earlier one's `following` said.

    A member's name up to the first dot is its sample's, the rest its kind: a picture
    (jpg, png, webp, …), a caption (txt), or a table row (json, whose caption is found by its columns).
    All other kinds are passed over unread; links, devices and sparse members too. Nothing is
    unpickled, unpacked to disk, or given to another program. A sample that lacks a picture or a
    caption has no pair, and says what it lacks.

    Args:
        columns: of `image`, the ending of the pictures, where samples have several; of `caption`, an
            ending or a column of json.

    Raises:
        DataError: the file is missing, or no tar file, or ends within a member; or pictures have no
            such ending.
    """
    columns = columns or Columns()
    if columns.image not in (None, *PICTURES):
        raise DataError(
            f"{shard}: pictures in a shard are named by their ending, {', '.join(PICTURES)}, which "
            f"{columns.image!r} is none of.{suggestion(str(columns.image), PICTURES)}"
        )
    key: str | None = None
    members: dict[str, tarfile.TarInfo] = {}
    ignored: list[str] = []
    try:
        with shard.open("rb") as file, _archive(file, start) as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # or it keeps them all
                stem, kind = _named(member.name)
                if stem != key:
                    if members or ignored:
                        yield _sample(shard, key, members, columns, member.offset, ignored)
                    key, members, ignored = stem, {}, []
                if kind in members:
                    raise DataError(f"{shard}: two members are called {member.name!r}")
                if member.isreg() and not member.issparse() and _known(kind):
                    members[kind] = member
                else:
                    ignored.append(kind)
            if members or ignored:
                yield _sample(shard, key, members, columns, archive.offset, ignored)
    except FileNotFoundError as error:
        raise DataError(f"{shard}: there is no such shard") from error
    except tarfile.TarError as error:
        raise DataError(
            f"{shard}: not a whole tar file without compression: {error}. A compressed one cannot be "
            "read from any place in it: unpack it first (gunzip)"
        ) from error


def _archive(file: BinaryIO, start: int) -> tarfile.TarFile:
    file.seek(start)
    return tarfile.open(fileobj=file, mode="r:")


def _named(name: str) -> tuple[str, str]:
    folder, slash, last = name.rpartition("/")
    stem, _, kind = last.partition(".")
    return f"{folder}{slash}{stem}", kind.lower()


def _known(kind: str) -> bool:
    return kind in PICTURES or kind in _TEXTS or kind == "json"


def _sample(
    shard: Path,
    key: str | None,
    members: dict[str, tarfile.TarInfo],
    columns: Columns,
    following: int,
    ignored: list[str],
) -> Sample:
    made = Sample(f"{shard}/{key}", None, following, ignored=tuple(ignored))
    wanted = (columns.image,) if columns.image else PICTURES
    picture = None
    captions: list[str] = []
    row: dict[str, Any] = {}
    for kind, member in members.items():
        held = Member(shard, member.name, member.offset_data, member.size)
        if kind in PICTURES:
            if columns.image == kind or (columns.image is None and picture is None):
                picture = held
        elif kind == "json":
            row = _json(held)
        elif columns.caption in (None, kind):
            captions.append(_text(held))
    if columns.caption is not None or not captions:
        captions += texts(row.get(columns.caption or usual_caption(row) or ""))
    captions = [caption.strip() for caption in captions if caption.strip()]
    if picture is None:
        made.lacks = f"{made.key}: no picture is among its members (.{', .'.join(wanted)})"
    elif not captions:
        there = f"; its .json has {', '.join(row)}" if row else ""
        made.lacks = (
            f"{made.key}: no caption is among its members (.txt, or a column of .json){there}"
        )
    else:
        concept = row.get(columns.concept) if columns.concept else None
        made.pair = Pair(picture, tuple(captions), "" if concept is None else str(concept))
    return made


def _text(held: Member) -> str:
    if held.size > _LONGEST:
        raise DataError(f"{held}: a caption of {held.size:,} bytes; at most {_LONGEST:,} are read")
    try:
        return held.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{held}: not a text in UTF-8: {error}") from error


def _json(held: Member) -> dict[str, Any]:
    try:
        row = json.loads(_text(held))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{held}: not JSON: {error}") from error
    return row if isinstance(row, dict) else {}
