"""Splits made where a source has none: by the content of the pictures, so that copies stay together."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from zoo.data.columns import split_name
from zoo.data.held import Held
from zoo.data.pairs import Pair
from zoo.errors import DataError

__all__ = [
    "content_key",
    "content_keys",
    "drawn_split",
    "said_of_splits",
    "whole_split",
    "with_all_splits",
]

_HEAD = 16_384
_TENTHS = {0: "validation", 1: "test"}
_USUAL = ("train", "validation", "test")


def content_key(picture: Path | Held, *, whole: bool = False) -> str:
    """A short name of a picture by its content: the same for copies, in any file or folder.

    It is made of the size and the first 16 KB, or with `whole` of the size and all. What cannot be read
    is named by its path, and so are files that a download left empty, or filled with a page of HTML:
    alike, they are no copies of a picture.
    """
    digest = hashlib.blake2b(digest_size=12)
    most = None if whole else _HEAD
    try:
        if isinstance(picture, Held):
            size, head = picture.size, picture.read(most)
        else:
            with picture.open("rb") as file:
                size, head = picture.stat().st_size, file.read(most)
    except (OSError, DataError):
        size, head = 0, b""
    if head.lstrip()[:1] in (b"", b"<"):
        digest.update(str(picture).encode())
    else:
        digest.update(b"%d:" % size + head)
    return digest.hexdigest()


def content_keys(pictures: Iterable[Path | Held]) -> dict[Path | Held, str]:
    """The key of each picture by its content: the same for copies, and for nothing else.

    It is `content_key`, by all bytes where pictures that are no copies have the same otherwise.
    """
    keys = {picture: content_key(picture) for picture in dict.fromkeys(pictures)}
    alike: dict[str, list[Path | Held]] = defaultdict(list)
    for picture, key in keys.items():
        alike[key].append(picture)
    for group in alike.values():
        if len(group) > 1:
            whole = {picture: content_key(picture, whole=True) for picture in group}
            if len({*whole.values()}) > 1:
                keys |= whole
    return keys


def drawn_split(concept: str) -> str:
    """`train` for eight concepts of ten, `validation` and `test` for one each: decided by its hash."""
    digest = hashlib.blake2b(concept.encode(), digest_size=8, person=b"zoo split").digest()
    return _TENTHS.get(int.from_bytes(digest, "big") % 10, "train")


def whole_split(names: Collection[str]) -> str:
    """The split that missing ones are drawn from: `train`, or the only one if it is called otherwise."""
    return next(iter(names)) if len(names) == 1 and not {*names} & {*_USUAL} else "train"


def said_of_splits(drawn: Collection[str]) -> str:
    """Where splits came from, in words."""
    if not drawn:
        return "as the source has them"
    return f"{' and '.join(drawn)} drawn from train, a tenth each, by a hash of the picture"


def with_all_splits(given: Mapping[str, Iterable[Pair]]) -> tuple[dict[str, list[Pair]], str]:
    """Train, validation and test, and where they came from in words.

    Pairs without a concept get the key of their picture's content for one. What the source gave is kept.
    A `validation` or `test` that it did not give is drawn from its `train`, or from its only split, a
    tenth of the concepts each, by their hash. No concept stays in two splits: what a later one of train,
    validation, test has, the earlier ones lose.
    """
    splits = _with_concepts({split_name(name): list(pairs) for name, pairs in given.items()})
    if (home := whole_split(splits)) in splits:
        splits["train"] = splits.pop(home)
    missing = [name for name in ("validation", "test") if "train" in splits and name not in splits]
    if missing:
        whole = splits["train"]
        for name in missing:
            splits[name] = [pair for pair in whole if drawn_split(pair.concept) == name]
        splits["train"] = [pair for pair in whole if drawn_split(pair.concept) not in missing]
    said = said_of_splits(missing)
    taken: set[str] = set()
    for name in (each for each in ("test", "validation", "train") if each in splits):
        kept = [pair for pair in splits[name] if pair.concept not in taken]
        if lost := len(splits[name]) - len(kept):
            said += f"; {lost} left out of {name}, whose pictures are in a held-out split too"
        taken.update(pair.concept for pair in kept)
        splits[name] = kept
    usual = [name for name in _USUAL if name in splits]
    rest = [name for name in splits if name not in usual]
    if rest:
        said += (
            f"; others that it has: {', '.join(f'{name} ({len(splits[name])})' for name in rest)}"
        )
    return {name: splits[name] for name in (*usual, *rest)}, said


def _with_concepts(splits: Mapping[str, list[Pair]]) -> dict[str, list[Pair]]:
    keys = content_keys(
        pair.picture for pairs in splits.values() for pair in pairs if not pair.concept
    )
    return {
        name: [
            pair if pair.concept else replace(pair, concept=keys[pair.picture]) for pair in pairs
        ]
        for name, pairs in splits.items()
    }
