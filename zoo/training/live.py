"""All of a run that changes from step to step, and how a checkpoint keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from zoo.data.unreadable import Unreadable
from zoo.errors import CheckpointError
from zoo.training.changing import Changing
from zoo.training.checkpoint import Kept
from zoo.training.observer import Observer
from zoo.training.packing import pack, unpack
from zoo.training.parallel import SingleProcess

__all__ = ["Live"]


@dataclass
class Live:
    """All of a run that changes from step to step, beside what trains.

    Args:
        unreadable: what could not be read so far.
        steps: made so far.
        loss: sum over the steps of the epoch that is under way.
        epoch_steps: made in that epoch.
        place: where the feed is, as far as the number of the step does not say it.
    """

    parallel: SingleProcess
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler
    observers: Sequence[Observer]
    unreadable: Unreadable
    steps: int = 0
    loss: float = 0.0
    epoch_steps: int = 0
    place: Any = None

    def pack(self, tensors: dict[str, Tensor]) -> dict[str, Any]:
        """As JSON, and tensors that are added to those; every process calls it."""
        return {
            "sums": {"loss": self.loss, "steps": self.epoch_steps},
            "place": self.place,
            "unreadable": self.unreadable.state_dict(),
            "parameters": self._parameters(),
            "optimizer": pack(self.parallel.optimizer_state(self.optimizer), "optimizer", tensors),
            "schedule": pack(self.schedule.state_dict(), "schedule", tensors),
            "observers": {
                name: pack(each.state_dict(), f"observer {name}", tensors)
                for name, each in self._named_observers()
            },
        }

    def count(self, loss: float, place: Any) -> None:
        """One more step was made, of this loss, and the feed is at a place."""
        self.steps, self.place = self.steps + 1, place
        self.loss, self.epoch_steps = self.loss + loss, self.epoch_steps + 1

    def mean_loss(self) -> float:
        """Over the steps of the epoch that ends here; the next one begins."""
        mean = self.loss / self.epoch_steps
        self.loss, self.epoch_steps = 0.0, 0
        return mean

    def unpack(self, kept: Kept) -> None:
        """Go on from there."""
        content, tensors = kept.content, kept.tensors
        if content["parameters"] != self._parameters():
            raise CheckpointError(
                f"the optimizer has other parameters, or in another order, than in the checkpoint of "
                f"step {kept.step}; go on with the zoo that wrote it"
            )
        state = unpack(content["optimizer"], tensors)
        self.parallel.load_optimizer_state(self.optimizer, state)
        self.schedule.load_state_dict(unpack(content["schedule"], tensors))
        self.steps = kept.step
        self.loss, self.epoch_steps = content["sums"]["loss"], content["sums"]["steps"]
        self.place = content["place"]
        self.unreadable.load_state_dict(content["unreadable"])
        for name, each in self._named_observers():
            if name in content["observers"]:
                each.load_state_dict(unpack(content["observers"][name], tensors))

    def _parameters(self) -> list[list[str]]:
        """Of each group of the optimizer, in its order."""
        names = Changing(self.parallel.model).names()
        return [
            [names[id(each)] for each in group["params"]] for group in self.optimizer.param_groups
        ]

    def _named_observers(self) -> list[tuple[str, Observer]]:
        """By their classes, numbered where there are several of one."""
        counts: dict[str, int] = {}
        named = []
        for each in self.observers:
            name = f"{type(each).__module__}.{type(each).__qualname__}"
            counts[name] = counts.get(name, 0) + 1
            named.append((name if counts[name] == 1 else f"{name} {counts[name]}", each))
        return named
