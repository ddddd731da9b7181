"""What each training step is fed: pictures and texts, or the features of encoders that stand still."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from zoo.clip import CLIP, evaluating
from zoo.data.augment import Augmenter
from zoo.data.held import Held
from zoo.data.pairs import Pair
from zoo.errors import DataError, SpecError
from zoo.recipe import Recipe
from zoo.training.features import Features, Progress, image_features, text_features
from zoo.training.order import Draws, Order

__all__ = ["Batch", "Feed"]


@dataclass(frozen=True)
class Batch:
    """Pairs of one step. Of each side there are features if its encoder is frozen, else its input."""

    image_ids: Int[Tensor, " batch"]
    """Equal for pairs of the same picture."""
    text_ids: Int[Tensor, " batch"]
    """Equal for pairs of the same caption."""
    pictures: Shaped[Tensor, "batch 3 height width"] | None = None
    image_features: Float[Tensor, "batch ..."] | None = None
    tokens: Mapping[str, Int[Tensor, "batch length"]] | None = None
    text_features: Float[Tensor, "batch features"] | None = None
    teacher: Mapping[str, Float[Tensor, "batch teacher_dim"]] | None = None
    """A teacher's embeddings of both sides, by the names that a loss knows them by."""

    def __len__(self) -> int:
        return len(self.image_ids)

    def part(self, rows: slice) -> Batch:
        """Some of its rows."""
        return self._of(lambda tensor: tensor[rows])

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return self._of(lambda tensor: tensor.to(device, non_blocking=True))

    def _of(self, change: Any) -> Batch:
        def changed(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {name: change(tensor) for name, tensor in value.items()}
            return value if value is None else change(value)

        return Batch(**{name: changed(value) for name, value in vars(self).items()})


class Feed:
    """Batches of a model's training, in the order of the recipe.

    The features of frozen encoders are computed first, once for every picture and every caption.
    Pictures for an encoder that trains are read, augmented and stacked by worker processes while
    the model computes. Any number of workers gives the same batches.

    Args:
        teacher: a model whose embeddings of all pairs the loss learns from.

    Raises:
        DataError: the dataset is too small, or has a picture that cannot be read.
        SpecError: the recipe augments pictures, and the image encoder is frozen.
    """

    def __init__(
        self,
        model: CLIP,
        pairs: Sequence[Pair],
        recipe: Recipe,
        progress: Progress | None = None,
        *,
        teacher: CLIP | None = None,
    ) -> None:
        assert recipe.batch_size is not None
        assert recipe.data_seed is not None
        self.model, self.pairs, self.recipe = model, pairs, recipe
        self.order = Order(
            pairs, sampling=recipe.sampling, batch_size=recipe.batch_size, seed=recipe.data_seed
        )
        image: Any = model.image_encoder
        text: Any = model.text_encoder
        self.captions, self._rows = _distinct([each for pair in pairs for each in pair.captions])
        self._first_row = [0]
        for pair in pairs:
            self._first_row.append(self._first_row[-1] + len(pair.captions))
        self.pictures, self._picture_ids = _distinct([pair.picture for pair in pairs])
        self._image_features: Features | None = None
        self._text_features: Features | None = None
        self._teacher: dict[str, Any] = {}
        if "encoder" in image.frozen_parts:
            if recipe.augmentation.active:
                raise SpecError(
                    "train.augmentation: the image encoder is frozen, so that its features are "
                    "computed once, of pictures as they are; leave the augmentation out, or let the "
                    "encoder train"
                )
            self._image_features = image_features(
                model,
                self.pictures,
                progress,
                precision=recipe.precision,
                workers=max(recipe.workers, 1),
            )
        else:
            self._augment = Augmenter(image.encoder.preprocess, recipe.augmentation)
        if "encoder" in text.frozen_parts:
            self._text_features = text_features(
                model, self.captions, progress, precision=recipe.precision
            )
        if teacher is not None:
            self._teacher = {
                "teacher_image_embeds": _Embeds(
                    teacher.image_encoder,
                    image_features(teacher, self.pictures, progress, precision=recipe.precision),
                ),
                "teacher_text_embeds": _Embeds(
                    teacher.text_encoder,
                    text_features(teacher, self.captions, progress, precision=recipe.precision),
                ),
            }

    def batches(self, steps: range) -> Iterator[Batch]:
        """The batches of some steps, on the CPU.

        Raises:
            DataError: a picture cannot be read; the message names it.
        """
        if self._image_features is not None:
            for step in steps:
                yield self._batch(self.order.step(step), None)
            return
        draws = (self.order.step(step) for step in steps)
        loader: DataLoader[Any] = DataLoader(
            _Pictures(self.pictures, self._augment),
            batch_sampler=_Drawn(self.order, steps, self._picture_ids),
            num_workers=self.recipe.workers,
            collate_fn=_stacked,
            pin_memory=_device(self.model).type == "cuda",
        )
        for draw, pictures in zip(draws, loader, strict=True):
            if isinstance(pictures, DataError):
                raise pictures
            yield self._batch(draw, pictures)

    def named(self, batch: Batch) -> list[tuple[str, str]]:
        """The picture and the caption of each of its rows."""
        return [
            (str(self.pictures[picture]), self.captions[text])
            for picture, text in zip(batch.image_ids.tolist(), batch.text_ids.tolist(), strict=True)
        ]

    def _batch(self, draws: Draws, pictures: Tensor | None) -> Batch:
        images = [self._picture_ids[index] for index in draws.pairs]
        texts = [
            self._rows[self._first_row[index] + caption]
            for index, caption in zip(draws.pairs, draws.captions, strict=True)
        ]
        sides = {"teacher_image_embeds": images, "teacher_text_embeds": texts}
        return Batch(
            image_ids=torch.tensor(images),
            text_ids=torch.tensor(texts),
            pictures=pictures,
            image_features=self._image_features[images] if self._image_features else None,
            text_features=self._text_features[texts] if self._text_features else None,
            tokens=None
            if self._text_features
            else self.model.tokenize([self.captions[row] for row in texts]),
            teacher={name: embeds[sides[name]] for name, embeds in self._teacher.items()} or None,
        )


class _Pictures(Dataset[Any]):
    """Pictures as the encoder sees them, by picture and seed. A fault is returned, to be raised whole."""

    def __init__(self, pictures: Sequence[Path | Held], augment: Augmenter) -> None:
        self.pictures, self.augment = pictures, augment

    def __getitem__(self, drawn: tuple[int, int]) -> Tensor | DataError:
        picture, seed = drawn
        try:
            return self.augment.read(self.pictures[picture], seed)
        except DataError as error:
            return error


class _Drawn(Sampler[list[tuple[int, int]]]):
    """The picture and the seed of each row, batch by batch."""

    def __init__(self, order: Order, steps: range, picture_of: Sequence[int]) -> None:
        self.order, self.steps, self.picture_of = order, steps, picture_of

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in self.steps:
            draws = self.order.step(step)
            pictures = [self.picture_of[pair] for pair in draws.pairs]
            yield list(zip(pictures, draws.seeds.tolist(), strict=True))

    def __len__(self) -> int:
        return len(self.steps)


class _Embeds:
    """Embeddings of a teacher's tower: a row is projected when it is asked for."""

    def __init__(self, tower: Any, features: Features) -> None:
        self.tower, self.features = tower, features

    def __getitem__(self, rows: list[int]) -> Tensor:
        features = self.features[rows].to(_device(self.tower))
        with evaluating(self.tower), torch.no_grad():
            embeds: Tensor = self.tower.project(features)
        return embeds.float().cpu()


def _stacked(pictures: list[Tensor | DataError]) -> Tensor | DataError:
    whole = [each for each in pictures if isinstance(each, Tensor)]
    if len(whole) == len(pictures):
        return torch.stack(whole)
    return next(each for each in pictures if isinstance(each, DataError))


def _distinct(items: Sequence[Any]) -> tuple[list[Any], list[int]]:
    """The different items in order of appearance, and for each item the number of its own."""
    numbers: dict[Any, int] = {}
    rows = [numbers.setdefault(each, len(numbers)) for each in items]
    return list(numbers), rows


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device
