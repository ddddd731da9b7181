"""A page of one file: its skeleton and style, and what stands on it beside charts."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from zoo.data.pictures import Picture, open_picture

__all__ = ["Section", "charts", "code", "facts", "gallery", "notes", "page", "table", "thumbnail"]


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading of its own."""

    title: str
    parts: Sequence[str]
    """Text becomes paragraphs, escaped; `Markup` stands as it is."""


def page(title: str, sections: Sequence[Section], *, lead: str = "", footer: str = "") -> str:
    """A whole page as HTML: light and dark, for wide windows and phones, without scripts or requests.

    Args:
        lead: the sentence under the title.
    """
    return _template("page.html").render(
        title=title, sections=sections, lead=lead, footer=footer, style=_style()
    )


def table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, caption: str = "", names: int = 0
) -> Markup:
    """A table; one column names its rows, others with digits first are set as numbers.

    Args:
        names: the number of that column.
    """
    numeric = [
        bool(rows) and all(_is_number(row[column]) for row in rows)
        for column in range(len(columns))
    ]
    return _part("table", columns=columns, rows=rows, caption=caption, numeric=numeric, names=names)


def facts(known: Mapping[str, object]) -> Markup:
    """Names with their values."""
    return _part("facts", known=known)


def notes(
    said: Sequence[tuple[str, str]], *, kind: Literal["advice", "error"] = "advice"
) -> Markup:
    """Remarks that stand out: a heading and a text each."""
    return _part("notes", said=said, kind=kind)


def code(title: str, text: str) -> Markup:
    """Text as it is, folded under a title."""
    return _part("code", title=title, text=text)


def charts(drawn: Sequence[Markup]) -> Markup:
    """Charts side by side, as many as the window has room for."""
    return _part("charts", drawn=drawn)


def gallery(rows: Sequence[Mapping[str, object]]) -> Markup:
    """Captions, each with pictures in order: rows of `zoo.report.samples.Sample` as data."""
    return _part("gallery", rows=rows)


def thumbnail(picture: Picture, size: int = 112) -> str:
    """A picture as a data URI, at most `size` pixels wide and high.

    Raises:
        DataError: it cannot be read.
    """
    small = open_picture(picture)
    small.thumbnail((size, size))
    written = io.BytesIO()
    small.convert("RGB").save(written, "WEBP", quality=80)
    return "data:image/webp;base64," + base64.b64encode(written.getvalue()).decode()


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float) or str(cell)[:1].isdigit() or str(cell) in ("", "–")


def _part(name: str, **values: object) -> Markup:
    made: Markup = getattr(_template("parts.html").module, name)(**values)
    return made


@cache
def _template(name: str) -> Template:
    loader = PackageLoader("zoo.report", "templates")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


@cache
def _style() -> Markup:
    return Markup((Path(__file__).parent / "templates" / "style.css").read_text("utf-8"))
