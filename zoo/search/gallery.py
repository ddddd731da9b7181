"""A gallery of embedded pictures, and the best matches to a text in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zoo.clip import CLIP, evaluating
from zoo.data.pairs import Pair
from zoo.errors import DataError, TowerError
from zoo.parameters import any_tensor
from zoo.training.features import Progress, image_features

__all__ = ["Gallery", "Hit"]


_AT_ONCE = 4096
"""Rows of features in memory."""


@dataclass(frozen=True)
class Hit:
    """A picture found, and the cosine between it and the text, in [-1, 1]."""

    pair: Pair
    score: float


class Gallery:
    """Pictures embedded by a model, ready to be searched."""

    def __init__(
        self, model: CLIP, pairs: Sequence[Pair], progress: Progress | None = None
    ) -> None:
        if not pairs:
            raise DataError("there are no pictures to search")
        tower: Any = model.image_encoder
        if tower is None:
            raise TowerError("search takes both towers; build the model with both")
        self.model = model
        self.pairs = list(pairs)
        features = image_features(model, [pair.picture for pair in pairs], progress)
        some = any_tensor(tower)
        with evaluating(tower), torch.no_grad():
            embeds = [
                tower.project(features[rows].to(some.device, some.dtype)).float().cpu()
                for rows in torch.split(torch.arange(len(features)), _AT_ONCE)
            ]
        self.embeds: Float[Tensor, "count dim"] = torch.cat(embeds)

    def search(self, text: str, count: int = 12) -> list[Hit]:
        """The pictures nearest to a text, best first.

        Raises:
            DataError: the text is empty, or the count is not positive.
        """
        if not text.strip():
            raise DataError("the text to search for is empty")
        if count < 1:
            raise DataError(f"the number of matches is 1 or more, not {count}")
        scores = self.embeds @ self.model.embed_texts([text])[0]
        best = scores.topk(min(count, len(self.pairs)))
        return [
            Hit(self.pairs[index], score)
            for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
