"""A folder of pictures for each class, as an image-text dataset whose concepts are the classes."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from zoo.data.pairs import ImageTextDataset, Pair
from zoo.errors import DataError

__all__ = ["class_folders"]

_SPLITS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"}


def class_folders(folder: str | PathLike[str]) -> ImageTextDataset:
    """Read `SPLIT/CLASS/picture` or, as the split `test`, `CLASS/picture`.

    The caption of a picture is its class, with spaces for underscores; the same classes are in every
    split. Pictures may lie deeper in their class's folder. Files without the suffix of a picture,
    and what is hidden, are left out.

    Raises:
        DataError: there is no such folder, it has no classes, or a class has no pictures.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder of classes")
    places = {name: root / name for name in _SPLITS if (root / name).is_dir()}
    splits: dict[str, list[Pair]] = {}
    for name, place in (places or {"test": root}).items():
        if _SPLITS[name] in splits:
            raise DataError(f"{root}: two folders are of the split {_SPLITS[name]!r}")
        splits[_SPLITS[name]] = _pairs(place)
    others = [each for each in _folders(root) if each.name not in places]
    if places and others:
        raise DataError(
            f"{root}: {', '.join(places)} and {others[0].name} side by side: are these splits, or "
            "classes?"
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
            if path.suffix.lower() in _SUFFIXES
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
