"""A picture to a PNG file, which appears whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

from zoo.errors import DataError

__all__ = ["check_png", "write_png"]


def write_png(image: Image.Image, path: Path, what: str) -> Path:
    """Write it; `what` it shows, for messages.

    Raises:
        DataError: the path is not of a PNG, or its folder is missing.
    """
    check_png(path, what)
    draft = path.with_name(f".{path.name}.part")
    try:
        image.save(draft, "PNG")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def check_png(path: Path, what: str) -> None:
    """Refuse a path that `write_png` would refuse, before any work.

    Raises:
        DataError: the path is not of a PNG, or its folder is missing.
    """
    if path.suffix.lower() != ".png":
        raise DataError(f"{path}: the picture of {what} is a PNG; give a name that ends in .png")
    if not path.parent.is_dir():
        raise DataError(f"{path}: there is no folder {path.parent}")
