"""Search results as one picture: a row a query, each match with its name and score."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from zoo.data.pictures import open_picture
from zoo.data.png import check_png, write_png
from zoo.search.gallery import Hit

__all__ = ["write_grid"]

_CELL = 132
_LABEL = 46
_MARGIN = 12
_TITLE = 30
_INK, _GREY = "#1f2328", "#6b7280"


def write_grid(
    rows: Sequence[tuple[str, Sequence[Hit]]], path: Path, *, columns: int = 6, footer: str = ""
) -> Path:
    """Write a PNG with the matches of each query, `columns` in a line.

    Args:
        footer: a line at the bottom, such as the attribution that a licence asks for.

    Raises:
        DataError: the path is not of a PNG, or its folder is missing.
    """
    check_png(path, "the matches")
    title_font, label_font = ImageFont.load_default(18), ImageFont.load_default(12)
    lines = [
        (query, [hits[start : start + columns] for start in range(0, len(hits), columns)])
        for query, hits in rows
    ]
    width = 2 * _MARGIN + columns * (_CELL + _MARGIN) - _MARGIN
    height = _MARGIN + sum(_TITLE + len(line) * (_CELL + _LABEL) + _MARGIN for _, line in lines)
    height += _TITLE if footer else 0
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    top = _MARGIN
    for query, line in lines:
        draw.text((_MARGIN, top), query, _INK, title_font)
        top += _TITLE
        for hits in line:
            for column, hit in enumerate(hits):
                left = _MARGIN + column * (_CELL + _MARGIN)
                picture = open_picture(hit.pair.picture)
                picture.thumbnail((_CELL, _CELL))
                sheet.paste(picture, (left, top))
                label = textwrap.wrap(hit.pair.captions[0], 21)[:2]
                draw.text(
                    (left, top + _CELL), "\n".join([*label, f"{hit.score:.2f}"]), _GREY, label_font
                )
            top += _CELL + _LABEL
        top += _MARGIN
    if footer:
        draw.text((_MARGIN, height - _TITLE), footer, _GREY, label_font)
    return write_png(sheet, path, "the matches")
