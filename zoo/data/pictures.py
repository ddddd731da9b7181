"""Pictures from files: opened, turned upright, laid over white, in RGB; or refused by name."""

from __future__ import annotations

import stat
from os import PathLike, fspath
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from zoo.errors import DataError

__all__ = ["FORMATS", "Picture", "open_picture"]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
"""What is read. Pillow knows forty formats, some by parsers of little use, one by another program."""

Picture = str | PathLike[str] | Image.Image

_MOST_SCANS = 100
"""Of a progressive JPEG. Ten are usual, and each goes over the whole picture."""

_IF_TRUSTED = "if you trust it, make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS"


def open_picture(picture: Picture) -> Image.Image:
    """A picture, or the file of one, as upright RGB; transparency becomes white.

    Of an animation, the first frame. Grey of 16 bits is scaled to 8.

    Raises:
        DataError: the file is missing, truncated, in none of `FORMATS`, of more pixels than
            `PIL.Image.MAX_IMAGE_PIXELS`, or of a kind whose white is not known.
    """
    if not isinstance(picture, (str, PathLike, Image.Image)):
        raise DataError(f"a picture is a path or a PIL image, not {picture!r}")
    if isinstance(picture, Image.Image):
        name = str(getattr(picture, "filename", "") or "picture")
    else:
        name = fspath(picture)
    try:
        return _upright(picture) if isinstance(picture, Image.Image) else _read(Path(picture))
    except DataError as error:
        error.args = (f"{name}: {error}",)
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{name}: refused: {error} {_IF_TRUSTED}") from error
    except Exception as error:  # whatever the bytes of a damaged file lead Pillow's parsers to
        kind = "" if isinstance(error, (OSError, SyntaxError)) else f"{type(error).__name__}: "
        raise DataError(f"{name}: the picture cannot be read: {kind}{error}") from error


def _read(path: Path) -> Image.Image:
    if not path.exists():
        raise DataError("there is no such picture")
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # one would wait for a pipe
        raise DataError("not a file, and a picture is one")
    if status.st_size == 0:
        raise DataError("the file is empty")
    try:
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            _refuse_bomb(image, path)
            return _upright(image)
    except UnidentifiedImageError as error:
        raise DataError(
            f"not a whole picture in a format that zoo reads ({', '.join(FORMATS)}); if it is one "
            "in another format, convert it"
        ) from error


def _refuse_bomb(image: Image.Image, path: Path) -> None:
    limit = Image.MAX_IMAGE_PIXELS  # Pillow itself only warns up to twice this
    if limit is not None and image.width * image.height > limit:
        raise DataError(
            f"refused: {image.width} x {image.height} pixels, more than {limit:,}, may be an "
            f"attack; {_IF_TRUSTED}"
        )
    if image.info.get("progressive") and path.read_bytes().count(b"\xff\xda") > _MOST_SCANS:
        raise DataError(f"refused: a JPEG in more than {_MOST_SCANS} scans may be an attack")


def _upright(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = _in_eight_bits(image)
    if image.mode == "F":
        raise DataError("its pixels are fractions, without a known white; save it in 8 or 16 bits")
    if image.mode in ("La", "RGBa"):
        image = image.convert(image.mode.upper())
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits, scaled: Pillow would make all above 255 white."""
    levels = np.asarray(image)
    if levels.min() < 0 or levels.max() > 65_535:
        raise DataError(
            f"its levels go from {levels.min()} to {levels.max()}, and those of 16 bits from 0 to "
            "65535; save it in 8 or 16 bits"
        )
    grey = ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if isinstance(image.info.get("transparency"), int):
        grey[levels == image.info["transparency"]] = 255
    return Image.fromarray(grey)
