"""A model against the concepts of a dataset: one picture and its name for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from zoo.clip import CLIP
from zoo.data.pairs import Pair, one_per_concept
from zoo.data.unreadable import Unread, Unreadable
from zoo.evaluation.embeddings import check_both_towers, project
from zoo.evaluation.retrieval import Recall, Retrieval, recall_at, retrieval
from zoo.recipe import Precision
from zoo.training.features import Features, Progress, image_features, text_features
from zoo.training.ingredients import is_frozen

__all__ = ["Judge"]


class Judge:
    """Recall on fixed pairs, as often as asked; the features of frozen encoders are computed once.

    Args:
        pairs: of these, the first of each concept, with its first caption.
        unreadable: share of their pictures that may be unreadable; the others are judged by.

    Raises:
        DataError: (when asked) more of them cannot be read; the message names them.
    """

    def __init__(
        self,
        model: CLIP,
        pairs: Sequence[Pair],
        progress: Progress | None = None,
        *,
        precision: Precision = "auto",
        unreadable: float = 0.0,
    ) -> None:
        check_both_towers(model)
        self.image: Any = model.image_encoder
        self.text: Any = model.text_encoder
        self.model = model
        self.pairs = one_per_concept(pairs)
        self.progress = progress
        self.precision = precision
        self.unreadable = unreadable
        self._kept: dict[str, Features] = {}

    def recall(self) -> Recall:
        """Recall at 1, 5 and 10 in both directions."""
        return recall_at(*self.embeds())

    def retrieval(self) -> Retrieval:
        """The ranks behind it, for intervals and other metrics."""
        return retrieval(*self.embeds())

    def embeds(self) -> tuple[Tensor, Tensor]:
        return (
            project(self.image, self._features("image")),
            project(self.text, self._features("text")),
        )

    def _features(self, side: str) -> Features:
        if side in self._kept:
            return self._kept[side]
        if side == "image":
            features = self._image_features()
        else:
            names = [pair.captions[0] for pair in self.pairs]
            features = text_features(self.model, names, self.progress, precision=self.precision)
        if is_frozen(getattr(self, side)):
            self._kept[side] = features
        return features

    def _image_features(self) -> Features:
        pictures = [pair.picture for pair in self.pairs]
        unread: dict[int, Unread] = {}
        features = image_features(
            self.model,
            pictures,
            self.progress,
            precision=self.precision,
            unread=unread if self.unreadable else None,
        )
        if unread:
            tally = Unreadable(self.unreadable)
            tally.add(len(pictures), list(unread.values()))
            tally.finish()
            self.pairs = [pair for n, pair in enumerate(self.pairs) if n not in unread]
            self._kept.clear()
        return features
