"""Search results as one picture: a row a query, each match with its name and score."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from zoo.data.sheet import Tile, write_sheet
from zoo.search.gallery import Hit

__all__ = ["write_grid"]


def write_grid(
    rows: Sequence[tuple[str, Sequence[Hit]]], path: Path, *, columns: int = 6, footer: str = ""
) -> Path:
    """Write a PNG with the matches of each query, `columns` in a line.

    Args:
        footer: a line at the bottom, such as the attribution that a licence asks for.

    Raises:
        DataError: the path is not of a PNG, or its folder is missing.
    """
    tiles = [(query, [_tile(hit) for hit in hits]) for query, hits in rows]
    return write_sheet(tiles, path, columns=columns, footer=footer)


def _tile(hit: Hit) -> Tile:
    label = textwrap.wrap(hit.pair.captions[0], 21)[:2]
    return Tile(hit.pair.picture, (*label, f"{hit.score:.2f}"))
