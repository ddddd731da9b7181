"""Samples of retrieval: captions that find their picture, and captions that do not, with what they find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from zoo.data.pairs import Pair
from zoo.report.page import thumbnail

__all__ = ["Found", "Sample", "samples"]


@dataclass(frozen=True)
class Found:
    """A picture that a caption found."""

    rank: int
    """Counted from 1."""
    cosine: float
    caption: str
    picture: str
    """As a data URI."""
    right: bool


@dataclass(frozen=True)
class Sample:
    """A caption, the rank of its own picture, and the pictures that come first."""

    caption: str
    rank: int
    found: tuple[Found, ...]
    """The nearest, nearest first; after them its own picture, if it is not among them."""


def samples(
    pairs: Sequence[Pair],
    image_embeds: Float[Tensor, "count dim"],
    text_embeds: Float[Tensor, "count dim"],
    ranks: Int[Tensor, " count"],
    *,
    count: int = 4,
    nearest: int = 5,
) -> list[Sample]:
    """Some hits and as many misses, spread over all of each; the same ones for the same ranks.

    Args:
        ranks: the rank of each caption's own picture, from 1.
        count: hits shown at most, and likewise misses.
        nearest: pictures shown of each.

    Raises:
        DataError: a picture cannot be read.
    """
    hits, misses = (ranks == 1).nonzero()[:, 0], (ranks > 1).nonzero()[:, 0]
    chosen = [row for rows in (hits, misses) for row in _spread(rows.tolist(), count)]
    pictures = F.normalize(image_embeds.double(), dim=1)
    shown = []
    for row in chosen:
        cosines = pictures @ F.normalize(text_embeds[row].double(), dim=0)
        order = torch.argsort(cosines, descending=True, stable=True).tolist()
        own, rank = order.index(row), int(ranks[row])
        first = order[:nearest]
        if own >= nearest:
            first.append(row)
        found = tuple(
            Found(
                rank=rank if each == row else place,
                cosine=float(cosines[each]),
                caption=pairs[each].captions[0],
                picture=thumbnail(pairs[each].picture),
                right=each == row,
            )
            for place, each in enumerate(first, 1)
        )
        shown.append(Sample(pairs[row].captions[0], rank, found))
    return shown


def _spread(rows: list[int], count: int) -> list[int]:
    if len(rows) <= count:
        return rows
    return [rows[(2 * number + 1) * len(rows) // (2 * count)] for number in range(count)]
