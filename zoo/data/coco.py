"""COCO's captions: a JSON file of images and of annotations, several to an image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zoo.data.pairs import Pair
from zoo.errors import DataError

__all__ = ["coco_pairs", "read_coco"]


def read_coco(path: Path) -> dict[str, Any] | None:
    """The file's content, or None if it is JSON of another form.

    Raises:
        DataError: it is no JSON.
    """
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error}") from error
    return said if isinstance(said, dict) and {"images", "annotations"} <= said.keys() else None


def coco_pairs(said: dict[str, Any], path: Path, images: Path | None = None) -> list[Pair]:
    """Every image that has captions, in the file's order, with all of them.

    Args:
        images: the folder of the pictures. Without it, the file's own folder or the one beside it
            that COCO's layout has: `annotations/captions_val2017.json`, `val2017/`.

    Raises:
        DataError: it is not laid out as COCO's, or no folder has the pictures.
    """
    names: dict[Any, str] = {}
    captions: dict[Any, list[str]] = {}
    try:
        for image in said["images"]:
            names[image["id"]] = str(image["file_name"])
        for note in said["annotations"]:
            if note["image_id"] not in names:
                raise DataError(
                    f"{path}: a caption is of the image {note['image_id']}, which is not there"
                )
            captions.setdefault(note["image_id"], []).append(str(note["caption"]).strip())
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not COCO's captions: images have id and file_name, annotations image_id and "
            f"caption; {type(error).__name__}: {error}"
        ) from error
    if not captions:
        raise DataError(f"{path}: no image has a caption")
    folder = images or _folder(path, names[next(iter(captions))])
    return [
        Pair(folder / names[key], tuple(text for text in found if text), "")
        for key, found in captions.items()
        if any(found)
    ]


def _folder(path: Path, example: str) -> Path:
    word = path.stem.rpartition("_")[2]
    usual = [
        path.parent,
        *(path.parent.parent / each for each in (word, "images", f"images/{word}")),
    ]
    usual += [path.parent / each for each in (word, "images")]
    for folder in usual:
        if (folder / example).is_file():
            return folder
    raise DataError(
        f"{path}: its picture {example} is in none of {', '.join(map(str, usual))}; "
        "say where: --images FOLDER"
    )
