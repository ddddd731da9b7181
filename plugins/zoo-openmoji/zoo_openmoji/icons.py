"""Single-coloured icons with names, for more concepts than emojis have: those in mkdocs-material."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from zoo.errors import DataError, MissingExtraError
from zoo_openmoji.emojis import names_what_is_held_out

__all__ = ["Icon", "icons", "inked"]

_SETS = {"fontawesome": "fontawesome/solid", "material": "material"}
"""Font Awesome Free (CC BY 4.0) and Material Design Icons (Apache 2.0)."""

_VARIANTS = re.compile(r"-(outline|variant)\b")
_OF_SCREENS = ("account-", "alpha-", "arrow-", "chevron-", "file-", "format-")
"""Beginnings of names that say what a button does, and not what there is to see."""

_SVG = "http://www.w3.org/2000/svg"


@dataclass(frozen=True)
class Icon:
    """One icon; its stem is unlike that of any other icon and of any emoji."""

    svg: Path
    stem: str
    name: str


def icons() -> Iterator[Icon]:
    """Every icon that shows a thing of one or two words, in the order of sets and of file names.

    Of icons with one drawing, and of variants of one, the first counts. One whose name has all words
    of an emoji's that is held out is left out: what is held out stays unseen.

    Raises:
        DataError: mkdocs-material has no icons.
        MissingExtraError: it is not installed.
    """
    for title, folder in _SETS.items():
        files = sorted((_folder() / folder).glob("*.svg"))
        if not files:
            raise DataError(f"{_folder() / folder}: no icon here; install mkdocs-material again")
        stems, seen = {file.stem for file in files}, set()
        for file in files:
            plain = _VARIANTS.sub("", file.stem)
            if plain in seen or (plain != file.stem and plain in stems) or not _shows(plain):
                continue
            name, drawing = plain.replace("-", " "), file.read_text(encoding="utf-8")
            if drawing in seen or names_what_is_held_out(name):
                continue
            seen |= {plain, drawing}
            yield Icon(file, f"{title}-{file.stem}", name)


def inked(svg: str, ink: str, *, side: int) -> str:
    """An icon in one colour, in the middle of a square with a tenth of it free on each side.

    >>> inked('<svg viewBox="0 0 24 24"><path d="M0 0"/></svg>', "#000", side=100)
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><svg viewBox="0 0 24 24" x="10" y="10" \
width="80" height="80" fill="#000"><path d="M0 0" /></svg></svg>'
    """
    ET.register_namespace("", _SVG)
    root = ET.fromstring(svg)
    free = side // 10
    across = str(side - 2 * free)
    for name, value in {
        "x": free,
        "y": free,
        "width": across,
        "height": across,
        "fill": ink,
    }.items():
        root.set(name, str(value))
    inner = ET.tostring(root, encoding="unicode")
    return f'<svg xmlns="{_SVG}" viewBox="0 0 {side} {side}">{inner}</svg>'


def _shows(name: str) -> bool:
    one_thing = len(name) > 1 and name.count("-") <= 1 and not re.search(r"\d", name)
    return one_thing and not name.startswith(_OF_SCREENS)


def _folder() -> Path:
    spec = find_spec("material")
    folder = Path(spec.origin).parent / "templates" / ".icons" if spec and spec.origin else None
    if folder is None or not folder.is_dir():
        raise MissingExtraError(
            "the icons are in mkdocs-material: pip install 'zoo-openmoji[icons]'"
        )
    return folder
