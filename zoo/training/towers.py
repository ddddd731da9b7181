"""Both towers at work on a batch, as one module: what several processes wrap."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from zoo.clip import CLIP
from zoo.data.augment import normalise
from zoo.parameters import any_tensor
from zoo.training.batch import Batch
from zoo.training.precision import autocast

__all__ = ["Side", "Towers"]

Side = Literal["image", "text"]


class Towers(nn.Module):
    """A batch to the unit vectors of its pairs, in float32, or float64 where the model is."""

    def __init__(self, model: CLIP, precision: Literal["fp32", "bf16"]) -> None:
        super().__init__()
        self.model, self.precision = model, precision

    def forward(self, batch: Batch, *sides: Side) -> tuple[Tensor, ...]:
        """The embeddings of these sides, in this order."""
        some = any_tensor(self.model)
        found = []
        for side in sides:
            with autocast(self.precision, some.device):
                embeds = (
                    self._images(batch, some.dtype)
                    if side == "image"
                    else self._texts(batch, some.dtype)
                )
            found.append(embeds if embeds.dtype == torch.float64 else embeds.float())
        return tuple(found)

    def _images(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        tower: Any = self.model.image_encoder
        if batch.image_features is not None:
            embeds: Tensor = tower.project(batch.image_features.to(dtype))
            return embeds
        assert batch.pictures is not None
        pictures = normalise(batch.pictures, tower.encoder.preprocess)
        return self.model.encode_image(pictures.to(dtype, memory_format=torch.channels_last))

    def _texts(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        tower: Any = self.model.text_encoder
        if batch.text_features is not None:
            embeds: Tensor = tower.project(batch.text_features.to(dtype))
            return embeds
        assert batch.tokens is not None
        return self.model.encode_text(**batch.tokens)
