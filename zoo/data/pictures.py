"""Pictures from files: opened, turned upright, laid over white, in RGB; or refused by name."""

from __future__ import annotations

import io
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from zoo.data.held import Held
from zoo.errors import DataError

__all__ = ["FORMATS", "Box", "Picture", "open_picture", "read_bytes", "read_part"]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
"""What is read. Pillow knows forty formats, some by parsers of little use, one by another program."""


Picture = str | PathLike[str] | Image.Image | Held

Box = tuple[int, int, int, int]
"""A part of a picture, in pixels: top, left, height, width."""

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
    with _named(picture):
        if isinstance(picture, Image.Image):
            return _upright(picture)
        with _checked(picture) as (image, _):
            return _upright(image)


def read_bytes(picture: str | PathLike[str] | Held) -> bytes:
    """The content of a picture's file, not looked at.

    Raises:
        DataError: it is missing, empty, or no file.
    """
    with _named(picture):
        return picture.read() if isinstance(picture, Held) else _whole(Path(picture))


def read_part(
    picture: str | PathLike[str] | Held,
    part: Callable[[int, int], Box],
    least: tuple[int, int],
) -> tuple[Image.Image | NDArray[np.uint8], Box]:
    """A picture of which only a part is wanted, decoded no larger than that part needs.

    A JPEG is decoded at a half, a quarter or an eighth of its size if the part is then still of at
    least so many pixels, which also averages pixels a little differently from resizing it later.
    One that is decoded whole is decoded by simplejpeg where it is installed, to the same pixels.

    Args:
        part: told the (height, width) of the upright picture, says which part.
        least: (height, width) in pixels that the part shall have.

    Returns:
        An upright picture in RGB, by Pillow or as (height, width, 3), and the part in its pixels.

    Raises:
        DataError: as `open_picture`.
    """
    with _named(picture), _checked(picture) as (image, content):
        turn = image.getexif().get(ExifTags.Base.Orientation, 1)
        high, wide = (image.width, image.height) if turn >= 5 else (image.height, image.width)
        box = part(high, wide)
        if image.format != "JPEG" or image.mode != "RGB":
            return _upright(image), box
        times = next((n for n in (8, 4, 2) if box[2] >= n * least[0] and box[3] >= n * least[1]), 1)
        if times == 1:
            whole = _quickly(content()) if turn == 1 else None
            return (_upright(image) if whole is None else whole), box
        image.draft("RGB", (image.width // times, image.height // times))
        small = _upright(image)
        return small, _shrunk(box, times, small.size)


def _quickly(jpeg: bytes) -> NDArray[np.uint8] | None:
    """The pixels of a JPEG whose header was checked; None if Pillow is to say what is wrong with it."""
    try:
        import simplejpeg
    except ImportError:
        return None
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(jpeg)
    except ValueError:
        return None
    return pixels


def _shrunk(box: Box, times: int, size: tuple[int, int]) -> Box:
    """The part in a picture so many times smaller, whose last blocks may reach over its old edge."""
    top, left, tall, wide = (round(side / times) for side in box)
    return min(top, size[1] - tall), min(left, size[0] - wide), tall, wide


@contextmanager
def _named(picture: object) -> Iterator[None]:
    """Errors say which picture; whatever a parser raised is a `DataError`."""
    if not isinstance(picture, (str, PathLike, Image.Image, Held)):
        raise DataError(f"a picture is a path or a PIL image, not {picture!r}")
    if isinstance(picture, Image.Image):
        name = str(getattr(picture, "filename", "") or "picture")
    else:
        name = picture.name if isinstance(picture, Held) else fspath(picture)
    try:
        yield
    except DataError as error:
        error.args = (f"{name}: {error}",)
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{name}: refused: {error} {_IF_TRUSTED}") from error
    except Exception as error:  # whatever the bytes of a damaged file lead Pillow's parsers to
        kind = "" if isinstance(error, (OSError, SyntaxError)) else f"{type(error).__name__}: "
        raise DataError(f"{name}: the picture cannot be read: {kind}{error}") from error


@contextmanager
def _checked(
    picture: str | PathLike[str] | Held,
) -> Iterator[tuple[Image.Image, Callable[[], bytes]]]:
    """A picture whose header was read and found harmless, not decoded yet; and its file's content."""
    try:
        if isinstance(picture, Held):
            held = picture.read()
            with Image.open(io.BytesIO(held), formats=FORMATS) as image:
                _refuse_bomb(image, lambda: held)
                yield image, lambda: held
        else:
            with _regular(Path(picture)).open("rb") as file:

                def content() -> bytes:
                    file.seek(0)
                    return file.read()

                with Image.open(file, formats=FORMATS) as image:
                    _refuse_bomb(image, content)
                    yield image, content
    except UnidentifiedImageError as error:
        raise DataError(
            f"not a whole picture in a format that zoo reads ({', '.join(FORMATS)}); if it is one "
            "in another format, convert it"
        ) from error


def _regular(path: Path) -> Path:
    if not path.exists():
        raise DataError("there is no such picture")
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # one would wait for a pipe
        raise DataError("not a file, and a picture is one")
    if status.st_size == 0:
        raise DataError("the file is empty")
    return path


def _whole(path: Path) -> bytes:
    return _regular(path).read_bytes()


def _refuse_bomb(image: Image.Image, content: Callable[[], bytes]) -> None:
    limit = Image.MAX_IMAGE_PIXELS  # Pillow itself only warns up to twice this
    if limit is not None and image.width * image.height > limit:
        raise DataError(
            f"refused: {image.width} x {image.height} pixels, more than {limit:,}, may be an "
            f"attack; {_IF_TRUSTED}"
        )
    if image.info.get("progressive") and content().count(b"\xff\xda") > _MOST_SCANS:
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
