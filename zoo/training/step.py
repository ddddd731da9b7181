"""One step of training: embeddings, loss, gradients, update. A large batch goes through in parts."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from zoo.clip import CLIP
from zoo.errors import DataError
from zoo.losses.gather import as_one_process, gather_ids, gather_rows
from zoo.recipe import Recipe
from zoo.training.batch import Batch
from zoo.training.batch_norm import (
    WholeBatchNorms,
    check_batch_norms,
    live_batch_norms,
    set_mode,
    statistics_back_on_error,
)
from zoo.training.cosine import MeanCosine
from zoo.training.parallel import SingleProcess
from zoo.training.replay import leaf, random_state, replaying, set_random_state
from zoo.training.towers import Side

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
    image_cosine: float | None = None
    """Mean cosine of the batch's image embeddings with one another."""
    text_cosine: float | None = None
    """Likewise of its text embeddings."""


class Stepper:
    """Steps of training. Each is that of the whole batch, however many parts it goes through in.

    In one part, encoders run once and autograd does the rest. In several, one of two ways keeps the
    memory of one part and the gradients of all:

    - Where the loss is a sum over images and the text encoder is frozen, each part's share of the
      loss is added to the gradients as it comes. A temperature that is beyond its bound is the one
      exception: there, of the parts' gradients for it, those that lead back add up.
    - Else gradients are cached: all parts go through without a graph, the loss gives the gradient of
      every embedding, and all parts go through again, with the same random numbers (Python's, NumPy's
      and torch's, and so the same dropout), to carry it on.

    Source of the second: Gao et al. 2021, arXiv 2101.06983.

    In several processes each has some rows of the batch, and the step is that of all rows. A loss
    that claims "splits-over-processes" computes on its own rows, with negatives from all, and
    counts for its share of them in the mean that is taken of gradients; any other loss is computed by
    every process on all rows. Batch norms take the statistics of all rows.

    Args:
        parallel: the model in several processes; alone in one, if not given.

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
        parallel: SingleProcess | None = None,
    ) -> None:
        assert model.loss is not None
        self.recipe = recipe
        self.parallel = parallel or SingleProcess(model, recipe)
        self.model = self.parallel.model
        text: Any = self.model.text_encoder
        self._text_stands_still = "encoder" in text.frozen_parts
        self.loss: Any = model.loss
        self.optimizer, self.schedule, self.backward = optimizer, schedule, backward
        self.device = next(model.parameters()).device
        self.precision = self.parallel.towers.precision
        self._splits = "splits-over-processes" in getattr(self.loss, "claims", ())
        self._cosine = MeanCosine()
        self._takes = set(inspect.signature(self.loss.forward).parameters)
        self.set_mode()
        check_batch_norms(self.model, recipe, several=type(self.parallel) is not SingleProcess)

    def set_mode(self) -> None:
        """Train mode for what trains; batch norms as the recipe says."""
        set_mode(self.model, self.recipe)

    def __call__(self, batch: Batch) -> Outcome:
        """Update the model by one batch.

        Raises:
            DataError: the loss is not finite, or its gradients; nothing was updated, nor have batch
                norms taken the batch into their statistics.
        """
        batch = batch.to(self.device)
        with statistics_back_on_error(self.model):
            value, norm = self._gradients(batch)
        rate = self.optimizer.param_groups[0]["lr"]
        temperature = getattr(self.loss, "temperature", None)
        self.optimizer.step()
        self.schedule.step()
        cosines = (
            self._cosine.take(side, several=len(batch.counts) > 1) for side in ("image", "text")
        )
        clips = self.recipe.optimizer.clip_norm is not None
        return Outcome(value, norm if clips else None, rate, temperature, *cosines)

    def _gradients(self, batch: Batch) -> tuple[float, float]:
        """The loss of the whole batch, and the norm of its gradients before they are clipped."""
        self.optimizer.zero_grad()
        parts = self.recipe.accumulation > 1
        with self._norms_over(batch):
            if not parts:
                loss = self._whole(batch)
            elif self._text_stands_still and self._sums(batch):
                loss = self._summed(batch)
            else:
                loss = self._cached(batch)
        self.parallel.reduce(parts=parts)
        value = self._mean(loss, batch)
        if not math.isfinite(value):
            raise DataError(
                f"the loss is {value}; a lower learning rate than "
                f"{self.recipe.optimizer.learning_rate:g} may help"
            )
        most = self.recipe.optimizer.clip_norm
        norm = self.parallel.clip(math.inf if most is None else most)
        if not math.isfinite(norm):
            raise DataError(
                f"the loss is {value:.4g}, and its gradients have the norm {norm}; a lower "
                f"learning rate than {self.recipe.optimizer.learning_rate:g}, or "
                'train.precision = "fp32", may help'
            )
        return value, norm

    def _whole(self, batch: Batch) -> Tensor:
        images, texts = self.parallel.embed(batch, "image", "text")
        loss = self._loss(images, texts, batch)
        self.backward(loss)
        return loss.detach()

    def _summed(self, batch: Batch) -> Tensor:
        texts, give_back = leaf(*self.parallel.embed_part(batch, "text"))
        self._cosine.add("text", texts)
        total = torch.zeros((), device=self.device)
        for rows in self._parts(batch):
            (images,) = self.parallel.embed_part(batch.part(rows), "image")
            self._cosine.add("image", images)
            share = self.loss.over_images(images, texts, rows.start, **self._extras(batch))
            share = share * self._weight(batch)
            self.backward(share)
            total = total + share.detach()
        give_back()
        return total

    def _cached(self, batch: Batch) -> Tensor:
        sides: tuple[Side, ...] = ("image", "text")
        parts = [batch.part(rows) for rows in self._parts(batch)]
        states: dict[str, list[Any]] = {side: [] for side in sides}
        leaves = {}
        for side in sides:
            embeds: list[Tensor] = []
            with torch.no_grad():
                for part in parts:
                    states[side].append(random_state(self.device))
                    embeds += self.parallel.embed_part(part, side)
            tower = getattr(self.model, f"{side}_encoder")
            trains = any(each.requires_grad for each in tower.parameters())
            leaves[side] = torch.cat(embeds).requires_grad_(trains)
        loss = self._loss(leaves["image"], leaves["text"], batch)
        self.backward(loss)
        with replaying(self.device):
            for side in sides:
                gradient = leaves[side].grad
                if gradient is None:
                    continue
                for part, state, rows in zip(parts, states[side], self._parts(batch), strict=True):
                    set_random_state(state)
                    torch.autograd.backward(self.parallel.embed_part(part, side), (gradient[rows],))
        return loss.detach()

    def _loss(self, images: Tensor, texts: Tensor, batch: Batch) -> Tensor:
        self._cosine.add("image", images)
        self._cosine.add("text", texts)
        extras = self._extras(batch)
        if len(batch.counts) > 1 and not self._splits:
            images, texts = (gather_rows(each, batch.counts) for each in (images, texts))
            extras = {
                name: (gather_rows if each.is_floating_point() else gather_ids)(each, batch.counts)
                for name, each in extras.items()
            }
            with as_one_process():
                loss: Tensor = self.loss(images, texts, **extras)
            return loss
        loss = self.loss(images, texts, **extras)
        return loss * self._weight(batch)

    def _weight(self, batch: Batch) -> float:
        """What makes the mean over processes of losses, each a mean over rows, one over all rows."""
        counts = batch.counts
        return len(batch) * len(counts) / sum(counts) if len(counts) > 1 else 1.0

    def _mean(self, loss: Tensor, batch: Batch) -> float:
        """The loss of the whole batch, in every process."""
        if len(batch.counts) < 2:
            return loss.item()
        total = loss.detach().clone()
        dist.all_reduce(total)
        return total.item() / len(batch.counts)

    def _sums(self, batch: Batch) -> bool:
        """Whether the loss is a sum over images, also in as many processes as there are."""
        sums: bool = getattr(self.loss, "sums_over_images", False)
        return sums and (self._splits or len(batch.counts) < 2)

    def _norms_over(self, batch: Batch) -> AbstractContextManager[Any]:
        live = len(batch.counts) > 1 and live_batch_norms(self.model)
        return WholeBatchNorms() if live else nullcontext()

    def _extras(self, batch: Batch) -> dict[str, Tensor]:
        """What of a batch the loss asks for beside its embeddings."""
        known = {"image_ids": batch.image_ids, "text_ids": batch.text_ids, **(batch.teacher or {})}
        return {name: tensor for name, tensor in known.items() if name in self._takes}

    def _parts(self, batch: Batch) -> Iterator[slice]:
        """The rows of each part: as even as can be, as many in every process, none empty."""
        count = max(min(self.recipe.accumulation, *(batch.counts or (len(batch),))), 1)
        bounds = [len(batch) * part // count for part in range(count + 1)]
        return (slice(*each) for each in pairwise(bounds))
