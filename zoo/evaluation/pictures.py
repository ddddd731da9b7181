"""Results as pictures: hits and misses of retrieval, similarities, confusion of classes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zoo.data.pictures import Picture, open_picture
from zoo.data.png import check_png, write_png
from zoo.errors import DataError
from zoo.evaluation.classification import Classification

__all__ = ["draw_confusion", "draw_retrieval", "draw_similarity"]

_INK, _GREY, _HIT, _MISS, _WANTED = "#1f2328", "#6b7280", "#1a7f37", "#cf222e", "#0969da"
_MARGIN, _LABEL = 12, 20
_THUMB, _FRAME = 104, 4
_LEFT = 220
"""Room for names at the left of a matrix, and above it."""


def draw_retrieval(
    image_embeds: Float[Tensor, "images dim"],
    text_embeds: Float[Tensor, "texts dim"],
    text_image: Int[Tensor, " texts"],
    pictures: Sequence[Picture],
    captions: Sequence[str],
    path: Path,
    *,
    rows: int = 8,
    columns: int = 6,
    footer: str = "",
) -> Path:
    """A caption a row: its own picture, then the nearest ones, green if right and red if not.

    Captions that found their picture come first, and are at most half of the rows if others did not;
    both are taken evenly from all.

    Args:
        footer: a line at the bottom, such as the attribution that a licence asks for.
    """
    check_png(path, "retrieval")
    images, texts = F.normalize(image_embeds, dim=1), F.normalize(text_embeds, dim=1)
    shown = _hits_and_misses(images, texts, text_image, rows)
    columns = min(columns, len(pictures))
    width = max(3 * _LEFT, 2 * _MARGIN + (columns + 1) * (_THUMB + _MARGIN) + _MARGIN)
    line = _THUMB + 2 * _LABEL + _MARGIN
    sheet = Image.new("RGB", (width, _MARGIN + len(shown) * line + _LABEL), "white")
    draw, font = ImageDraw.Draw(sheet), _font(14)
    for number, caption in enumerate(shown):
        top = _MARGIN + number * line
        own = int(text_image[caption])
        draw.text((_MARGIN, top), _cut(captions[caption], font, width - 2 * _MARGIN), _INK, font)
        cosines = images @ texts[caption]
        order = cosines.sort(descending=True, stable=True).indices[:columns].tolist()
        for column, index in enumerate([own, *order]):
            left = _MARGIN + column * (_THUMB + _MARGIN) + (_MARGIN if column else 0)
            colour = _WANTED if not column else _HIT if index == own else _MISS
            _thumbnail(sheet, pictures[index], left, top + _LABEL, colour)
            draw.text(
                (left, top + _LABEL + _THUMB), f"{float(cosines[index]):.2f}", _GREY, _font(12)
            )
    draw.text((_MARGIN, sheet.height - _LABEL), footer, _GREY, _font(11))
    return write_png(sheet, path, "retrieval")


def draw_similarity(
    image_embeds: Float[Tensor, "count dim"],
    text_embeds: Float[Tensor, "count dim"],
    pictures: Sequence[Picture],
    captions: Sequence[str],
    path: Path,
    *,
    footer: str = "",
) -> Path:
    """The cosine of every caption, a row, and every picture, a column; row i belongs to column i."""
    check_png(path, "similarity")
    cosines = F.normalize(text_embeds, dim=1) @ F.normalize(image_embeds, dim=1).T
    low, high = float(cosines.min()), float(cosines.max())
    cell = 64
    side = _LEFT + len(pictures) * cell + _MARGIN
    sheet = Image.new("RGB", (side, side - _LEFT + cell + 2 * _MARGIN + _LABEL), "white")
    draw, font = ImageDraw.Draw(sheet), _font(14)
    for column, picture in enumerate(pictures):
        _thumbnail(sheet, picture, _LEFT + column * cell + 2, _MARGIN, None, cell - 4)
    for row, caption in enumerate(captions):
        top = cell + 2 * _MARGIN + row * cell
        words = "\n".join(_cut(each, font, _LEFT - 2 * _MARGIN) for each in _wrapped(caption))
        draw.text((_MARGIN, top + 12), words, _INK, font)
        for column, value in enumerate(cosines[row].tolist()):
            share = (value - low) / (high - low) if high > low else 0.0
            _cell(draw, _LEFT + column * cell, top, cell, share, f"{value:.2f}", row == column)
    draw.text((_MARGIN, sheet.height - _LABEL), footer, _GREY, _font(11))
    return write_png(sheet, path, "similarity")


def draw_confusion(found: Classification, path: Path, *, most: int = 30) -> Path:
    """Right classes as rows, chosen ones as columns; the share of a row's pictures in each cell.

    Of more than `most` classes, those that are taken for one another most often are shown.
    """
    check_png(path, "confusion")
    table = found.confusion()
    chosen = _most_confused(table, most)
    cell = 28
    width = _LEFT + len(chosen) * cell + _MARGIN
    sheet = Image.new("RGB", (width, width + 2 * _LABEL), "white")
    draw, font = ImageDraw.Draw(sheet), _font(13)
    for place, row in enumerate(chosen):
        name = _cut(found.classes[row], font, _LEFT - 2 * _MARGIN)
        draw.text((_MARGIN, _LEFT + place * cell + 6), name, _INK, font)
        above = Image.new("RGB", (_LEFT - 2 * _MARGIN, cell), "white")
        ImageDraw.Draw(above).text((0, 6), name, _INK, font)
        sheet.paste(above.rotate(90, expand=True), (_LEFT + place * cell, _MARGIN))
        total = int(table[row].sum())
        for column, other in enumerate(chosen):
            count = int(table[row, other])
            share = count / total if total else 0.0
            left, top = _LEFT + column * cell, _LEFT + place * cell
            _cell(draw, left, top, cell, share, str(count) if count else "", row == other)
    said = "rows: the right class; columns: the class chosen; numbers: pictures"
    if len(chosen) < len(found.classes):
        said = (
            f"the {len(chosen)} of {len(found.classes)} classes, those most often taken for one another; "
            + said
        )
    foot = "\n".join(textwrap.wrap(said, max(30, (width - 2 * _MARGIN) // 7)))
    draw.text((_MARGIN, width), foot, _GREY, _font(12))
    return write_png(sheet, path, "confusion")


def _most_confused(table: Tensor, most: int) -> list[int]:
    if len(table) <= most:
        return list(range(len(table)))
    wrong = table.clone().fill_diagonal_(0).flatten()
    chosen: set[int] = set()
    for cell in wrong.sort(descending=True, stable=True).indices.tolist():
        both = chosen | set(divmod(cell, len(table)))
        if len(both) > most:
            break
        chosen = both
    return sorted(chosen)


def _hits_and_misses(images: Tensor, texts: Tensor, text_image: Tensor, rows: int) -> list[int]:
    """Captions to show, of at most a few thousand that are looked at."""
    if rows < 1:
        raise DataError(f"the number of rows is 1 or more, not {rows}")
    looked_at = _evenly(list(range(len(texts))), 2048)
    nearest = torch.cat(
        [(block @ images.T).argmax(1) for block in torch.split(texts[looked_at], 64)]
    )
    right = (nearest == text_image[looked_at]).tolist()
    hits = [caption for caption, hit in zip(looked_at, right, strict=True) if hit]
    misses = [caption for caption, hit in zip(looked_at, right, strict=True) if not hit]
    of_hits = max(rows - len(misses), rows // 2)
    some = _evenly(hits, of_hits)
    return some + _evenly(misses, rows - len(some))


def _evenly(items: list[int], count: int) -> list[int]:
    if count >= len(items):
        return items
    return [items[number * len(items) // count] for number in range(count)]


def _thumbnail(
    sheet: Image.Image,
    picture: Picture,
    left: int,
    top: int,
    colour: str | None,
    side: int = _THUMB,
) -> None:
    room = side - 2 * _FRAME if colour else side
    image = open_picture(picture)
    image.thumbnail((room, room))
    if colour:
        ImageDraw.Draw(sheet).rectangle(
            (left, top, left + side - 1, top + side - 1), outline=colour, width=_FRAME
        )
    sheet.paste(image, (left + (side - image.width) // 2, top + (side - image.height) // 2))


def _cell(
    draw: ImageDraw.ImageDraw, left: int, top: int, side: int, share: float, text: str, own: bool
) -> None:
    """White to blue by the share; what belongs together is framed."""
    fill = tuple(round(255 + share * (end - 255)) for end in (9, 80, 160))
    frame = _HIT if own else "#d0d7de"
    draw.rectangle((left, top, left + side - 1, top + side - 1), fill, frame, 2 if own else 1)
    ink = "white" if share > 0.5 else _INK
    draw.text((left + side / 2, top + side / 2), text, ink, _font(11), anchor="mm")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 26)[:2]


def _cut(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> str:
    while font.getlength(text) > width:
        text = text[:-2].rstrip() + "…"
    return text


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
