"""Pictures with a line or two under each, as one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from zoo.data.pictures import Picture, open_picture
from zoo.data.png import check_png, write_png

__all__ = ["Tile", "write_sheet"]

_CELL = 132
_LABEL = 46
_MARGIN = 12
_TITLE = 30
_INK, _GREY = "#1f2328", "#6b7280"


@dataclass(frozen=True)
class Tile:
    """A picture and the lines under it, at most three."""

    picture: Picture
    lines: tuple[str, ...]


def write_sheet(
    rows: Sequence[tuple[str, Sequence[Tile]]], path: Path, *, columns: int = 6, footer: str = ""
) -> Path:
    """Write a PNG with the tiles of each title, `columns` in a line.

    Args:
        footer: a line at the bottom, such as the attribution that a licence asks for.

    Raises:
        DataError: the path is not of a PNG, its folder is missing, or a picture cannot be read.
    """
    check_png(path, "the matches")
    title_font, label_font = ImageFont.load_default(18), ImageFont.load_default(12)
    lines = [
        (title, [tiles[start : start + columns] for start in range(0, len(tiles), columns)])
        for title, tiles in rows
    ]
    width = 2 * _MARGIN + columns * (_CELL + _MARGIN) - _MARGIN
    height = _MARGIN + sum(_TITLE + len(line) * (_CELL + _LABEL) + _MARGIN for _, line in lines)
    height += _TITLE if footer else 0
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    top = _MARGIN
    for title, line in lines:
        draw.text((_MARGIN, top), title, _INK, title_font)
        top += _TITLE
        for tiles in line:
            for column, tile in enumerate(tiles):
                left = _MARGIN + column * (_CELL + _MARGIN)
                picture = open_picture(tile.picture)
                picture.thumbnail((_CELL, _CELL))
                sheet.paste(picture, (left, top))
                draw.text((left, top + _CELL), "\n".join(tile.lines[:3]), _GREY, label_font)
            top += _CELL + _LABEL
        top += _MARGIN
    if footer:
        draw.text((_MARGIN, height - _TITLE), footer, _GREY, label_font)
    return write_png(sheet, path, "the matches")
