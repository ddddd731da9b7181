"""A batch as the feed gives it and a step takes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from zoo.data.unreadable import Unread

__all__ = ["Batch"]


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
    counts: Sequence[int] = ()
    """In several processes: how many pairs each has. This one's are in here."""
    unread: Sequence[Unread] = ()
    """Pictures that it lacks, in all processes, because they could not be read."""
    place: Any = None
    """What the feed goes on from after it, as JSON; None where the number of the step is enough."""

    def __len__(self) -> int:
        return len(self.image_ids)

    def part(self, rows: slice) -> Batch:
        """Some of its rows."""
        return self._of(lambda tensor: tensor[rows])

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return self._of(lambda tensor: tensor.to(device, non_blocking=True))

    def _of(self, change: Callable[[Tensor], Tensor]) -> Batch:
        def changed(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {key: change(tensor) for key, tensor in value.items()}
            return change(value)

        kept = ("counts", "unread", "place")
        rows = {
            name: value if value is None or name in kept else changed(value)
            for name, value in vars(self).items()
        }
        return Batch(**rows)
