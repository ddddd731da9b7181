"""A gallery of embedded pictures, and the best matches to a text in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from zoo.clip import CLIP
from zoo.data.pairs import Pair
from zoo.errors import DataError, TowerError
from zoo.evaluation.embeddings import embed_pictures
from zoo.training.features import Progress

__all__ = ["Gallery", "Hit"]


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
        if model.image_encoder is None:
            raise TowerError("search takes both towers; build the model with both")
        self.model = model
        self.pairs = list(pairs)
        pictures = [pair.picture for pair in pairs]
        self.embeds: Float[Tensor, "count dim"] = embed_pictures(model, pictures, progress)

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
