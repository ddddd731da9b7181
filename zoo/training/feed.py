"""What each training step is fed: pictures and texts, or the features of encoders that stand still."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from zoo.clip import CLIP, evaluating
from zoo.data.augment import Augmenter
from zoo.data.held import Held
from zoo.data.pairs import Pair
from zoo.data.unreadable import Unread, Unreadable, attempted
from zoo.errors import DataError, SpecError
from zoo.parameters import any_tensor
from zoo.recipe import Recipe
from zoo.training.batch import Batch
from zoo.training.execution import check_compiled
from zoo.training.features import Features, Progress, image_features, text_features
from zoo.training.order import Draws, Order
from zoo.training.processes import Processes
from zoo.training.stopping import bear_signals

__all__ = ["Batch", "Feed", "stacked", "told_of_unread"]


class Feed:
    """Batches of a model's training, in the order of the recipe.

    The features of frozen encoders are computed first, once for every picture and every caption.
    Pictures for an encoder that trains are read, augmented and stacked by worker processes while
    the model computes. Any number of workers gives the same batches.

    A picture that cannot be read is skipped and counted in `unreadable`: where features are
    computed first, its pairs are left out; else each batch that draws it is smaller by it.

    In several processes each gets its share of every batch, the rows of all shares are those of one
    process, and features are computed by the first.

    Args:
        teacher: a model whose embeddings of all pairs the loss learns from.

    Raises:
        DataError: the dataset is too small, more pictures cannot be read than the recipe bears, or
            processes see other data.
        SpecError: the recipe augments pictures, and the image encoder is frozen, or compiles encoders,
            and both are; or there are more processes than pairs in a batch.
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
        assert recipe.sampling is not None
        check_compiled(model, recipe)
        self.model, self.recipe, self.progress = model, recipe, progress
        self.pairs: Sequence[Pair] = pairs
        self.unreadable = Unreadable(recipe.unreadable)
        self.processes = Processes(any_tensor(model).device)
        self.processes.check_alike("the training data", lambda: _digest(pairs))
        image: Any = model.image_encoder
        text: Any = model.text_encoder
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
            self._image_features = self.processes.in_turns(
                lambda: self._features_of_readable(model)
            )
        else:
            self._augment = Augmenter(image.encoder.preprocess, recipe.augmentation)
        if teacher is not None:
            features = self.processes.in_turns(lambda: self._features_of_readable(teacher))
            self._teacher["teacher_image_embeds"] = _Embeds(teacher.image_encoder, features)
        self.processes.check_alike(
            "what of the training data can be read", lambda: _digest(self.pairs)
        )
        self.order = Order(
            self.pairs,
            sampling=recipe.sampling,
            batch_size=recipe.batch_size,
            seed=recipe.data_seed,
        )
        if self.order.batch_size < self.processes.count:
            raise SpecError(
                f"train.batch_size is that of all processes together: {self.order.batch_size} pairs "
                f"a step cannot be divided among {self.processes.count} processes"
            )
        self.pictures, self._picture_ids = _distinct([pair.picture for pair in self.pairs])
        self.unreadable.enough = min(self.unreadable.enough, len(self.pictures))
        self.captions, self._rows = _distinct(
            [each for pair in self.pairs for each in pair.captions]
        )
        self._first_row = [0]
        for pair in self.pairs:
            self._first_row.append(self._first_row[-1] + len(pair.captions))
        if "encoder" in text.frozen_parts:
            self._text_features = self.processes.in_turns(lambda: self._features_of_texts(model))
        if teacher is not None:
            features = self.processes.in_turns(lambda: self._features_of_texts(teacher))
            self._teacher["teacher_text_embeds"] = _Embeds(teacher.text_encoder, features)

    def _features_of_readable(self, model: CLIP) -> Features:
        """Those of the pictures; pairs whose picture cannot be read are left out from here on."""
        pictures, numbers = _distinct([pair.picture for pair in self.pairs])
        unread: dict[int, Unread] = {}
        first = not self.unreadable.seen  # what another encoder could read, this one can too
        features = image_features(
            model,
            pictures,
            self.progress,
            precision=self.recipe.precision,
            workers=max(self.recipe.workers, 1),
            unread=unread if first else None,
        )
        if first:
            self.unreadable.add(len(pictures), list(unread.values()))
            self.unreadable.finish()
        self.pairs = [
            pair for pair, number in zip(self.pairs, numbers, strict=True) if number not in unread
        ]
        return features

    def _features_of_texts(self, model: CLIP) -> Features:
        return text_features(model, self.captions, self.progress, precision=self.recipe.precision)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch."""
        return self.order.steps_per_epoch

    @property
    def batch_size(self) -> int:
        """Pairs a step of all processes together: the recipe's, or all where there are fewer."""
        return self.order.batch_size

    def first_rows(self) -> tuple[Features | None, Features | None, list[int], list[int]]:
        """The features of both sides, where they stand still; each picture, and its first caption."""
        captions: dict[int, int] = {}
        for picture, row in zip(self._picture_ids, self._first_row[:-1], strict=True):
            captions.setdefault(picture, self._rows[row])
        return self._image_features, self._text_features, list(captions), list(captions.values())

    def batches(self, steps: range, place: Any = None) -> Iterator[Batch]:
        """The batches of some steps, or this process's shares of them, on the CPU.

        Args:
            place: of the batch before; not needed here, where a step is all that decides.

        Raises:
            DataError: more pictures cannot be read than the recipe bears; with their names.
        """
        if self._image_features is not None:
            for step in steps:
                draws = self.order.step(step)
                own = draws[self.processes.share(len(draws))]
                yield self._batch(own, None, counts=self.processes.rows(len(own)))
            return
        loader: DataLoader[Any] = DataLoader(
            _Pictures(self.pictures, self._augment),
            batch_sampler=_Drawn(self.order, steps, self._picture_ids, self.processes),
            num_workers=self.recipe.workers,
            collate_fn=stacked,
            pin_memory=any_tensor(self.model).device.type == "cuda",
            worker_init_fn=bear_signals,
        )
        for step, (pictures, faults) in zip(steps, loader, strict=True):
            draws = self.order.step(step)
            own = draws[self.processes.share(len(draws))]
            own = own[[row for row in range(len(own)) if row not in faults]]
            counts, unread = told_of_unread(
                self.processes, self.unreadable, len(draws), len(own), list(faults.values())
            )
            yield self._batch(own, pictures, counts, unread)
        self.unreadable.finish()

    def named(self, batch: Batch) -> list[tuple[str, str]]:
        """The picture and the caption of each of its rows."""
        return [
            (str(self.pictures[picture]), self.captions[text])
            for picture, text in zip(batch.image_ids.tolist(), batch.text_ids.tolist(), strict=True)
        ]

    def _batch(
        self,
        draws: Draws,
        pictures: Tensor | None,
        counts: Sequence[int],
        unread: Sequence[Unread] = (),
    ) -> Batch:
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
            counts=counts if len(counts) > 1 else (),
            unread=unread,
        )


def told_of_unread(
    processes: Processes, tally: Unreadable, drawn: int, read: int, faults: list[Unread]
) -> tuple[list[int], list[Unread]]:
    """The rows that each process has of a batch, and what all of them could not read, counted.

    Args:
        drawn: rows of the batch before its pictures were read.
        read: of them, what this process has.

    Raises:
        DataError: more cannot be read than is borne, or nothing is left for a process; in all of them.
    """
    counts = processes.rows(read)
    unread = faults
    if sum(counts) < drawn:
        unread = [each for part in processes.gathered(faults) for each in part]
    tally.add(drawn, unread)
    if not all(counts):
        whose = f" that process {counts.index(0)} was to have" if any(counts) else ""
        raise DataError(f"no picture of a batch{whose} can be read.\n{tally}")
    return counts, unread


class _Pictures(Dataset[Any]):
    """Pictures as the encoder sees them, by picture and seed."""

    def __init__(self, pictures: Sequence[Path | Held], augment: Augmenter) -> None:
        self.pictures, self.augment = pictures, augment

    def __getitem__(self, drawn: tuple[int, int]) -> Tensor | Unread:
        picture, seed = drawn
        return attempted(lambda: self.augment.read(self.pictures[picture], seed))


class _Drawn(Sampler[list[tuple[int, int]]]):
    """The picture and the seed of each row, batch by batch."""

    def __init__(
        self, order: Order, steps: range, picture_of: Sequence[int], processes: Processes
    ) -> None:
        self.order, self.steps, self.picture_of = order, steps, picture_of
        self.processes = processes

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in self.steps:
            draws = self.order.step(step)
            draws = draws[self.processes.share(len(draws))]
            pictures = [self.picture_of[pair] for pair in draws.pairs]
            yield list(zip(pictures, draws.seeds.tolist(), strict=True))

    def __len__(self) -> int:
        return len(self.steps)


class _Embeds:
    """Embeddings of a teacher's tower: a row is projected when it is asked for."""

    def __init__(self, tower: Any, features: Features) -> None:
        self.tower, self.features = tower, features

    def __getitem__(self, rows: list[int]) -> Tensor:
        some = any_tensor(self.tower)
        features = self.features[rows].to(some.device, some.dtype)
        with evaluating(self.tower), torch.no_grad():
            embeds: Tensor = self.tower.project(features)
        return embeds.float().cpu()


def stacked(rows: list[Tensor | Unread]) -> tuple[Tensor | None, dict[int, Unread]]:
    """The pictures that could be read, and in which rows are none."""
    pictures = [each for each in rows if isinstance(each, Tensor)]
    unread = {row: each for row, each in enumerate(rows) if isinstance(each, Unread)}
    return torch.stack(pictures) if pictures else None, unread


def _digest(pairs: Sequence[Pair]) -> str:
    """A hash of what the order of training and the texts depend on."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(repr((pair.concept, pair.captions)).encode())
    return digest.hexdigest()


def _distinct(items: Sequence[Any]) -> tuple[list[Any], list[int]]:
    """The different items in order of appearance, and for each item the number of its own."""
    numbers: dict[Any, int] = {}
    rows = [numbers.setdefault(each, len(numbers)) for each in items]
    return list(numbers), rows
