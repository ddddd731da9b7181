"""What each training step sees: pairs drawn, then embedded, from cached features where possible."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal

import torch
from torch import Tensor

from zoo.clip import CLIP
from zoo.data.pairs import Pair
from zoo.data.pictures import open_picture
from zoo.errors import DataError
from zoo.training.features import Progress, image_features, prefetched, text_features
from zoo.training.precision import autocast
from zoo.training.recipe import Recipe

__all__ = ["Feed", "Sampler"]


class Sampler:
    """Which pairs each step of an epoch sees."""

    def __init__(self, pairs: Sequence[Pair], recipe: Recipe) -> None:
        groups: dict[str, list[int]] = {}
        for index, pair in enumerate(pairs):
            key = pair.concept if recipe.sampling == "concept" else str(index)
            groups.setdefault(key, []).append(index)
        self.groups = list(groups.values())
        if len(self.groups) < 2:
            raise DataError(
                f"training contrasts pictures with one another, and the split has {len(self.groups)}"
            )
        self.batch_size = min(recipe.batch_size, len(self.groups))
        self.steps_per_epoch = len(self.groups) // self.batch_size
        self.random = random.Random(recipe.seed)

    def epoch(self) -> list[list[int]]:
        order = self.random.sample(self.groups, len(self.groups))
        size = self.batch_size
        return [
            [self.random.choice(group) for group in order[start : start + size]]
            for start in range(0, self.steps_per_epoch * size, size)
        ]


class Feed:
    """Batches of pairs to batches of embeddings, by cached features where an encoder is frozen."""

    def __init__(
        self, model: CLIP, pairs: Sequence[Pair], recipe: Recipe, progress: Progress | None
    ) -> None:
        assert model.image_encoder is not None
        assert model.text_encoder is not None
        self.model, self.pairs, self.recipe = model, pairs, recipe
        self.random = random.Random(recipe.seed + 1)
        self.image: Any = model.image_encoder
        self.text: Any = model.text_encoder
        self.image_features: Tensor | None = None
        self.text_features: Tensor | None = None
        if "encoder" in self.image.frozen_parts:
            pictures = [pair.picture for pair in pairs]
            self.image_features = image_features(
                model, pictures, progress, precision=recipe.precision, workers=recipe.workers
            )
        if "encoder" in self.text.frozen_parts:
            captions = sorted({caption for pair in pairs for caption in pair.captions})
            self.rows = {caption: row for row, caption in enumerate(captions)}
            self.text_features = text_features(
                model, captions, progress, precision=recipe.precision
            )

    def epoch(
        self,
        batches: list[list[int]],
        precision: Literal["fp32", "bf16"],
        device: torch.device,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields `(image_embeds, text_embeds)` for each batch of pair indices."""
        with ThreadPoolExecutor(self.recipe.workers) as pool:

            def read(batch: list[int]) -> list[Future[Tensor]]:
                if self.image_features is not None:
                    return []
                return [pool.submit(self._read, index) for index in batch]

            for batch, pictures in zip(batches, prefetched(read, batches), strict=True):
                captions = [self.random.choice(self.pairs[index].captions) for index in batch]
                with autocast(precision, device):
                    yield self._images(batch, pictures, device), self._texts(captions, device)

    def _read(self, index: int) -> Tensor:
        tensor: Tensor = self.image.encoder.preprocess(open_picture(self.pairs[index].picture))
        return tensor

    def _images(
        self, batch: list[int], pictures: list[Future[Tensor]], device: torch.device
    ) -> Tensor:
        if self.image_features is not None:
            projected: Tensor = self.image.project(self.image_features[batch].to(device))
            return projected
        stacked = torch.stack([picture.result() for picture in pictures])
        return self.model.encode_image(stacked.to(device, memory_format=torch.channels_last))

    def _texts(self, captions: list[str], device: torch.device) -> Tensor:
        if self.text_features is not None:
            rows = [self.rows[caption] for caption in captions]
            projected: Tensor = self.text.project(self.text_features[rows].to(device))
            return projected
        tokens = {key: ids.to(device) for key, ids in self.model.tokenize(captions).items()}
        return self.model.encode_text(**tokens)
