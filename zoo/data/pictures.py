"""Pictures from files: opened, turned upright, laid over white, in RGB; or refused by name."""

from os import PathLike, fspath

from PIL import Image, ImageOps, UnidentifiedImageError

from zoo.errors import DataError

__all__ = ["Picture", "open_picture"]

Picture = str | PathLike[str] | Image.Image


def open_picture(picture: Picture) -> Image.Image:
    """A picture, or the file of one, as upright RGB; transparency becomes white.

    Raises:
        DataError: the file is missing, truncated, not a picture, or a decompression bomb.
    """
    if not isinstance(picture, (str, PathLike, Image.Image)):
        raise DataError(f"a picture is a path or a PIL image, not {picture!r}")
    name = "picture" if isinstance(picture, Image.Image) else fspath(picture)
    try:
        if isinstance(picture, Image.Image):
            return _rgb(ImageOps.exif_transpose(picture))
        with open(picture, "rb") as file, Image.open(file) as image:
            _refuse_bomb(image)
            return _rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError as error:
        raise DataError(f"{name}: there is no such picture") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{name}: not a picture in a format that Pillow knows") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{name}: refused: {error}") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise DataError(f"{name}: the picture cannot be read: {error}") from error


def _refuse_bomb(image: Image.Image) -> None:
    limit = Image.MAX_IMAGE_PIXELS  # Pillow itself only warns up to twice this
    if limit is not None and image.width * image.height > limit:
        raise Image.DecompressionBombError(
            f"{image.width} x {image.height} pixels, more than {limit:,}, may be an attack"
        )


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        image = image.point(lambda level: level / 257).convert("L")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
