"""A model against the concepts of a dataset: one picture and its name for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.clip import CLIP, evaluating
from zoo.data.pairs import Pair, one_per_concept
from zoo.errors import TowerError
from zoo.evaluation.retrieval import Recall, recall_at
from zoo.training.features import Progress, image_features, text_features
from zoo.training.precision import Precision

__all__ = ["Judge"]


class Judge:
    """Recall on fixed pairs, as often as asked; the features of frozen encoders are computed once.

    Args:
        pairs: of these, the first of each concept, with its first caption.
    """

    def __init__(
        self,
        model: CLIP,
        pairs: Sequence[Pair],
        progress: Progress | None = None,
        *,
        precision: Precision = "auto",
    ) -> None:
        if model.image_encoder is None or model.text_encoder is None:
            raise TowerError("retrieval takes both towers; build the model with both")
        self.image: Any = model.image_encoder
        self.text: Any = model.text_encoder
        self.model = model
        self.pairs = one_per_concept(pairs)
        self.progress = progress
        self.precision = precision
        self._kept: dict[str, Tensor] = {}

    def recall(self) -> Recall:
        """Recall at 1, 5 and 10 in both directions."""
        with evaluating(self.model), torch.no_grad():
            image_embeds = self.image.project(self._features("image"))
            text_embeds = self.text.project(self._features("text"))
        return recall_at(image_embeds.float().cpu(), text_embeds.float().cpu())

    def _features(self, side: str) -> Tensor:
        if side in self._kept:
            return self._kept[side]
        if side == "image":
            pictures = [pair.picture for pair in self.pairs]
            features = image_features(self.model, pictures, self.progress, precision=self.precision)
        else:
            names = [pair.captions[0] for pair in self.pairs]
            features = text_features(self.model, names, self.progress, precision=self.precision)
        features = features.to(next(self.model.parameters()).device)
        if "encoder" in getattr(self, side).frozen_parts:
            self._kept[side] = features
        return features
