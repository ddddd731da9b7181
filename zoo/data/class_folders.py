"""A folder of pictures for each class, as an image-text dataset whose concepts are the classes."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from zoo.data.columns import SPLITS, split_name
from zoo.data.pairs import ImageTextDataset, Pair
from zoo.data.shards import PICTURES
from zoo.data.tables import FORMATS
from zoo.errors import DataError

__all__ = ["class_folders", "is_class_folders"]


def is_class_folders(source: str | PathLike[str]) -> bool:
    """Whether it is a folder without any table or shard, so that its folders must say what is what."""
    data = (".tar", *FORMATS)
    root = Path(source)
    return root.is_dir() and not any(each.suffix.lower() in data for each in root.rglob("*"))


def class_folders(folder: str | PathLike[str]) -> ImageTextDataset:
    """Read `SPLIT/CLASS/picture` or, as the split `test`, `CLASS/picture`.

    The caption of a picture is its class, with spaces for underscores; the same classes are in every
    split. A split's folder is called as splits are in other data: `val`, `Testing`. Pictures may lie
    deeper in their class's folder. Files without the suffix of a picture, and what is hidden, are
    left out.

    Raises:
        DataError: there is no such folder, it has not two classes, or a class has no pictures.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder of classes")
    folders = _folders(root)
    places = [each for name in SPLITS for each in folders if each.name.lower() == name]
    splits: dict[str, list[Pair]] = {}
    for split, place in [(split_name(each.name), each) for each in places] or [("test", root)]:
        if split in splits:
            raise DataError(f"{root}: two folders are of the split {split!r}")
        splits[split] = _pairs(place)
    others = [each for each in folders if each not in places]
    if places and others:
        raise DataError(
            f"{root}: {', '.join(each.name for each in places)} and {others[0].name} side by side: are "
            "these splits, or classes?"
        )
    classes = {str(pair.concept) for pairs in splits.values() for pair in pairs}
    if len(classes) == 1:
        raise DataError(
            f"{root}: all pictures are in one folder, {min(classes)!r}, and classes are at least two. "
            "Pictures with captions need a table beside them, such as metadata.csv (file_name, caption)"
        )
    return ImageTextDataset(root.resolve().name, splits, licence="", attribution="")


def _pairs(place: Path) -> list[Pair]:
    classes = _folders(place)
    if not classes:
        raise DataError(f"{place}: no folder of a class is here")
    pairs = []
    for each in classes:
        pictures = sorted(
            path
            for path in each.rglob("*")
            if path.suffix.lower().removeprefix(".") in PICTURES
            and not any(part.startswith(".") for part in path.relative_to(each).parts)
        )
        if not pictures:
            raise DataError(f"{each}: no picture of this class is here")
        caption = each.name.replace("_", " ")
        pairs += [Pair(picture, (caption,), each.name) for picture in pictures]
    return pairs


def _folders(place: Path) -> list[Path]:
    return sorted(
        each for each in place.iterdir() if each.is_dir() and not each.name.startswith(".")
    )
