"""One step of training: embeddings, loss, gradients, update. A large batch goes through in parts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.checkpoint import get_device_states, set_device_states

from zoo.clip import CLIP
from zoo.data.augment import normalise
from zoo.errors import DataError, SpecError
from zoo.recipe import Recipe
from zoo.training.feed import Batch
from zoo.training.precision import autocast, choose

__all__ = ["Outcome", "Stepper"]


@dataclass(frozen=True)
class Outcome:
    """What a step found, before its update."""

    loss: float
    grad_norm: float | None
    """Norm of all gradients together before they are clipped; None if they are not."""
    learning_rate: float
    """Of the first group of parameters."""
    temperature: float | None
    """Of the loss, where it has one."""


class Stepper:
    """Steps of training. Each is that of the whole batch, however many parts it goes through in.

    In one part, encoders run once and autograd does the rest. In several, one of two ways keeps the
    memory of one part and the gradients of all:

    - Where the loss is a sum over images and the text encoder is frozen, each part's share of the
      loss is added to the gradients as it comes.
    - Else gradients are cached: all parts go through without a graph, the loss gives the gradient of
      every embedding, and all parts go through again, dropout replayed, to carry it on.

    Source of the second: Gao et al. 2021, arXiv 2101.06983.

    Raises:
        SpecError: a batch in parts, and batch norms that take the statistics of each part.
    """

    def __init__(
        self,
        model: CLIP,
        recipe: Recipe,
        optimizer: torch.optim.Optimizer,
        schedule: LRScheduler,
        backward: Callable[[Tensor], None] = Tensor.backward,
    ) -> None:
        assert model.loss is not None
        self.model, self.recipe = model, recipe
        self.image: Any = model.image_encoder
        self.text: Any = model.text_encoder
        self.loss: Any = model.loss
        self.optimizer, self.schedule, self.backward = optimizer, schedule, backward
        some = next(model.parameters())
        self.device, self.dtype = some.device, some.dtype
        self.precision = choose(recipe.precision, self.device)
        self.parameters = [
            *model.get_trainable_parameters(),
            *(each for each in model.loss.parameters() if each.requires_grad),
        ]
        self._takes = set(inspect.signature(self.loss.forward).parameters)
        self.set_mode()
        if recipe.accumulation > 1:
            self._refuse_batch_norm()

    def set_mode(self) -> None:
        """Train mode for what trains; batch norms as the recipe says."""
        self.model.train()
        if self.recipe.batch_norm == "frozen":
            for _, norm in self._batch_norms():
                norm.eval()

    def __call__(self, batch: Batch) -> Outcome:
        """Update the model by one batch.

        Raises:
            DataError: the loss is not finite; nothing was updated.
        """
        batch = batch.to(self.device)
        self.optimizer.zero_grad()
        if self.recipe.accumulation == 1:
            loss = self._whole(batch)
        elif batch.text_features is not None and getattr(self.loss, "sums_over_images", False):
            loss = self._summed(batch)
        else:
            loss = self._cached(batch)
        value = loss.item()
        if not loss.isfinite():
            raise DataError(
                f"the loss is {value}; a lower learning rate than "
                f"{self.recipe.optimizer.learning_rate:g} may help"
            )
        norm = None
        if self.recipe.optimizer.clip_norm is not None:
            norm = nn.utils.clip_grad_norm_(self.parameters, self.recipe.optimizer.clip_norm).item()
        rate = self.optimizer.param_groups[0]["lr"]
        temperature = getattr(self.loss, "temperature", None)
        self.optimizer.step()
        self.schedule.step()
        return Outcome(value, norm, rate, temperature)

    def _whole(self, batch: Batch) -> Tensor:
        loss = self._loss(self._images(batch), self._texts(batch), batch)
        self.backward(loss)
        return loss.detach()

    def _summed(self, batch: Batch) -> Tensor:
        texts, give_back = _leaf(self._texts(batch))
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for rows in self._parts(batch):
            images = self._images(batch.part(rows))
            share = self.loss.over_images(images, texts, rows.start, **self._extras(batch))
            self.backward(share)
            total += share.detach()
        give_back()
        return total

    def _cached(self, batch: Batch) -> Tensor:
        sides = {"image": self._images, "text": self._texts}
        parts = [batch.part(rows) for rows in self._parts(batch)]
        states: dict[str, list[Any]] = {side: [] for side in sides}
        leaves = {}
        for side, embed in sides.items():
            embeds = []
            with torch.no_grad():
                for part in parts:
                    states[side].append(_random_state(self.device))
                    embeds.append(embed(part))
            trains = any(each.requires_grad for each in getattr(self, side).parameters())
            leaves[side] = torch.cat(embeds).requires_grad_(trains)
        loss = self._loss(leaves["image"], leaves["text"], batch)
        self.backward(loss)
        with _replaying(self.device):
            for side, embed in sides.items():
                gradient = leaves[side].grad
                if gradient is None:
                    continue
                for part, state, rows in zip(parts, states[side], self._parts(batch), strict=True):
                    _set_random_state(state)
                    torch.autograd.backward(embed(part), gradient[rows])
        return loss.detach()

    def _loss(self, images: Tensor, texts: Tensor, batch: Batch) -> Tensor:
        loss: Tensor = self.loss(images, texts, **self._extras(batch))
        return loss

    def _extras(self, batch: Batch) -> dict[str, Tensor]:
        """What of a batch the loss asks for beside its embeddings."""
        known = {"image_ids": batch.image_ids, "text_ids": batch.text_ids, **(batch.teacher or {})}
        return {name: tensor for name, tensor in known.items() if name in self._takes}

    def _images(self, batch: Batch) -> Tensor:
        with autocast(self.precision, self.device):
            if batch.image_features is not None:
                embeds: Tensor = self.image.project(batch.image_features.to(self.dtype))
            else:
                assert batch.pictures is not None
                pictures = normalise(batch.pictures, self.image.encoder.preprocess)
                embeds = self.model.encode_image(
                    pictures.to(self.dtype, memory_format=torch.channels_last)
                )
        return _whole_floats(embeds)

    def _texts(self, batch: Batch) -> Tensor:
        with autocast(self.precision, self.device):
            if batch.text_features is not None:
                embeds: Tensor = self.text.project(batch.text_features.to(self.dtype))
            else:
                assert batch.tokens is not None
                embeds = self.model.encode_text(**batch.tokens)
        return _whole_floats(embeds)

    def _parts(self, batch: Batch) -> Iterator[slice]:
        """The rows of each part; parts are as even as can be."""
        count = self.recipe.accumulation
        bounds = [len(batch) * part // count for part in range(count + 1)]
        return (slice(*each) for each in pairwise(bounds))

    def _batch_norms(self) -> Iterator[tuple[str, nn.Module]]:
        return (
            (name, each)
            for name, each in self.model.named_modules()
            if isinstance(each, _BatchNorm)
        )

    def _refuse_batch_norm(self) -> None:
        live = [name for name, norm in self._batch_norms() if norm.training]
        if live:
            raise SpecError(
                f"train.accumulation: {live[0]} and {len(live) - 1} more batch norms take their "
                "statistics from the pictures that they see together, so that a batch in "
                f"{self.recipe.accumulation} parts is not the whole batch; say train.batch_norm = "
                '"frozen" to keep the statistics they have, or choose an encoder without batch norm'
            )


def _whole_floats(embeds: Tensor) -> Tensor:
    """What a loss is computed in: float32, or float64 where the model is."""
    return embeds if embeds.dtype == torch.float64 else embeds.float()


def _leaf(embeds: Tensor) -> tuple[Tensor, Callable[[], None]]:
    """The embeddings cut off from their graph, and how to carry their gradient into it."""
    leaf = embeds.detach().requires_grad_(embeds.requires_grad)

    def give_back() -> None:
        if leaf.grad is not None:
            torch.autograd.backward(embeds, leaf.grad)

    return leaf, give_back


def _random_state(device: torch.device) -> tuple[Tensor, Any]:
    if device.type == "cpu":
        return torch.get_rng_state(), None
    return torch.get_rng_state(), get_device_states(torch.empty(0, device=device))


def _set_random_state(state: tuple[Tensor, Any]) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        set_device_states(*state[1])


@contextmanager
def _replaying(device: torch.device) -> Iterator[None]:
    """Leave the random state as it is found, whatever is replayed inside."""
    found = _random_state(device)
    try:
        yield
    finally:
        _set_random_state(found)
