"""Retrieval in both directions, with any number of captions a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zoo.errors import DataError
from zoo.evaluation.bootstrap import Estimate, Resampling, bootstrap
from zoo.evaluation.ranking import Ties, count_wrong

__all__ = ["Direction", "Recall", "Retrieval", "recall_at", "retrieval"]

_KS = (1, 5, 10)


@dataclass(frozen=True, eq=False)
class Direction:
    """What a ranking of the gallery gave each query.

    Args:
        ranks: place of the first right answer, from 1.
        precisions: average precision over all right answers, in (0, 1].
        units: the picture that each query is, or belongs to, numbered without gaps.
    """

    ranks: Int[Tensor, " queries"]
    precisions: Float[Tensor, " queries"]
    units: Int[Tensor, " queries"]

    def recall(self, k: int) -> float:
        """Share of queries with a right answer among the first k; 1 if k is the whole gallery.

        Raises:
            DataError: k is not positive.
        """
        _check_ks([k])
        return (self.ranks <= k).double().mean().item()

    def estimates(
        self, ks: Sequence[int] = _KS, resampling: Resampling | None = None
    ) -> dict[str, Estimate]:
        """Every metric with its interval: `recall@k`, `mean_rank`, `median_rank`, `map`.

        Pictures are drawn, each with its captions; the gallery stays.
        """
        _check_ks(ks)
        names = [*(f"recall@{k}" for k in ks), "mean_rank", "map", "median_rank"]
        columns = [*(self.ranks <= k for k in ks), self.ranks, self.precisions]
        values = torch.stack([column.double() for column in columns], 1)
        count = int(self.units.max()) + 1
        sums = torch.zeros(count, len(columns), dtype=torch.float64)
        sums.index_add_(0, self.units, values)
        sizes = torch.bincount(self.units, minlength=count).double()
        order = self.ranks.argsort()
        ranks, units = self.ranks[order].double(), self.units[order]

        def statistics(drawn: Tensor) -> Tensor:
            total = drawn @ sizes
            upto = drawn[:, units].cumsum(1)
            places = torch.stack([((total - 1) / 2).floor(), (total / 2).floor()], 1)
            middle = ranks[torch.searchsorted(upto, places, right=True)].mean(1)
            return torch.cat([drawn @ sums / total[:, None], middle[:, None]], 1)

        return bootstrap(statistics, names, count, resampling)


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Both directions, over all pictures and captions."""

    image_to_text: Direction
    text_to_image: Direction
    images: int
    captions: int

    def estimates(
        self, ks: Sequence[int] = _KS, resampling: Resampling | None = None
    ) -> dict[str, dict[str, Estimate]]:
        """Every metric with its interval, by direction and name."""
        return {
            "image_to_text": self.image_to_text.estimates(ks, resampling),
            "text_to_image": self.text_to_image.estimates(ks, resampling),
        }


def retrieval(
    image_embeds: Float[Tensor, "images dim"],
    text_embeds: Float[Tensor, "texts dim"],
    text_image: Int[Tensor, " texts"] | None = None,
    *,
    ties: Ties = "against",
) -> Retrieval:
    """Rank all captions for each picture, and all pictures for each caption, by cosine.

    Right answers to a picture are its own captions, and to a caption its own picture. A picture
    without captions is in the gallery of every caption and asks for nothing itself. A caption that
    another picture has too, word for word, is a wrong answer there, and a tie.

    Args:
        text_image: the row of the picture that each caption belongs to; without it, row i to row i.
        ties: whether a wrong answer as similar as the right one comes before it, or after it.
            The value under any other order of ties is between those of the two.

    Raises:
        DataError: an embedding has no direction, or a caption no picture.
    """
    if text_image is None:
        if len(image_embeds) != len(text_embeds):
            raise DataError(
                f"{len(image_embeds)} pictures and {len(text_embeds)} captions: say in text_image "
                "which picture each caption belongs to"
            )
        text_image = torch.arange(len(text_embeds))
    by_image, by_text = count_wrong(image_embeds, text_embeds, text_image, ties=ties)
    asked, units = torch.unique(text_image.cpu(), return_inverse=True)
    # Captions by picture, and each picture's by how many wrong ones come before: the nearest first.
    order = by_image.argsort(stable=True)
    order = order[units[order].argsort(stable=True)]
    wrong, unit = by_image[order], units[order]
    sizes = torch.bincount(unit)
    first = sizes.cumsum(0) - sizes
    right = torch.arange(len(order)) - first[unit] + 1
    precision = torch.zeros(len(asked), dtype=torch.float64)
    precision.index_add_(0, unit, right / (right + wrong).double())
    return Retrieval(
        Direction(wrong[first] + 1, precision / sizes, torch.arange(len(asked))),
        Direction(by_text + 1, 1 / (by_text + 1).double(), units),
        len(image_embeds),
        len(text_embeds),
    )


@dataclass(frozen=True)
class Recall:
    """Share of queries whose own partner is among the k nearest, in [0, 1], by k."""

    image_to_text: dict[int, float]
    text_to_image: dict[int, float]
    count: int

    def as_json(self) -> dict[str, Any]:
        return {
            "image_to_text": {f"recall@{k}": value for k, value in self.image_to_text.items()},
            "text_to_image": {f"recall@{k}": value for k, value in self.text_to_image.items()},
            "count": self.count,
        }


def recall_at(
    image_embeds: Float[Tensor, "count dim"],
    text_embeds: Float[Tensor, "count dim"],
    ks: tuple[int, ...] = _KS,
) -> Recall:
    """Recall in both directions, for row i of one belonging to row i of the other.

    A tie counts against the model, so that constant embeddings recall nothing.

    Raises:
        DataError: an embedding has no direction.
    """
    found = retrieval(image_embeds, text_embeds)
    return Recall(
        {k: found.image_to_text.recall(k) for k in ks},
        {k: found.text_to_image.recall(k) for k in ks},
        found.images,
    )


def _check_ks(ks: Sequence[int]) -> None:
    for k in ks:
        if k < 1:
            raise DataError(f"recall is asked at k = 1 or more, not {k}")
