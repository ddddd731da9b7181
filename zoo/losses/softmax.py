"""What softmax losses are made of: log-sum-exps of rows and columns, and the logits of positives."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoo.losses.batch import Batch
from zoo.losses.gather import gather_rows
from zoo.losses.positives import Positives
from zoo.losses.tiles import Memory, Tile, reduce_pairs

__all__ = ["Direction", "directions"]


class Direction(NamedTuple):
    """Image to text or text to image, a number for each image or each text of this process."""

    positive: Tensor
    """Mean logit of its positives; with smoothing, mixed with the mean of all."""
    log_sums: tuple[Tensor, ...]
    """For each power: the logarithm of the sum of `exp(power * logit)`."""


def directions(
    batch: Batch,
    scale: Tensor,
    *,
    powers: tuple[float, ...] = (1.0,),
    only_negatives: bool = False,
    smoothing: float = 0.0,
    both: bool = True,
) -> list[Direction]:
    """Image to text and text to image, from one pass over the logits `scale * images @ texts.T`.

    Args:
        only_negatives: whether the sums leave out positives; minus infinity if nothing is left.
        smoothing: share of the mean of all logits in `positive`.
        both: whether text to image is wanted too, which takes all images of each process.
    """
    reduction = _RowsAndColumns(batch.positives, powers, only_negatives, smoothing, both)
    positive, *log_sums = reduce_pairs(
        reduction, batch.images, batch.texts, scale.to(batch.images.dtype)
    )
    found = [Direction(positive, tuple(log_sums[: len(powers)]))]
    if both:
        found.append(_whole(log_sums[len(powers) :], batch))
    return found


def _whole(shares: list[Tensor], batch: Batch) -> Direction:
    """Text to image over all processes, each of which has seen its images with every text."""
    positive, *log_sums = shares
    if len(batch.counts) > 1:
        of_all = gather_rows(torch.stack(shares), [len(shares)] * len(batch.counts))
        of_all = of_all.view(-1, len(shares), batch.texts.shape[0])[..., batch.own]
        positive, log_sums = of_all[:, 0].sum(0), list(of_all[:, 1:].logsumexp(0))
    return Direction(positive, tuple(log_sums))


class _RowsAndColumns:
    """Means over positives and log-sum-exps, of rows and of columns."""

    def __init__(
        self,
        positives: Positives,
        powers: tuple[float, ...],
        only_negatives: bool,
        smoothing: float,
        both: bool,
    ) -> None:
        self.positives, self.powers, self.both = positives, powers, both
        self.only_negatives, self.smoothing = only_negatives, smoothing

    def start(self, images: Tensor, texts: Tensor) -> None:
        lengths = (images.shape[0], texts.shape[0]) if self.both else (images.shape[0],)
        self.positive = [images.new_zeros(each) for each in lengths]
        self.sums = [images.new_zeros(each) for each in lengths] if self.smoothing else []
        # For each power and axis, by where a tile begins, what its row or column of tiles said.
        self.parts: list[list[dict[int, list[Tensor]]]] = [
            [{} for _ in lengths] for _ in self.powers
        ]
        self.columns = texts.shape[0]
        self.lowest = torch.finfo(images.dtype).min
        self.weights: list[Tensor] = []
        counts = self.positives.counts
        if counts is not None:
            inverse = counts.to(images.dtype).reciprocal()
            first = self.positives.first
            self.weights = [inverse[first : first + images.shape[0]], inverse][: len(lengths)]

    def see(self, logits: Tensor, tile: Tile, memory: Memory) -> None:
        self.positives.add_sums(logits, tile, memory, *self.positive)
        for axis, total in enumerate(self.sums):
            total[tile[axis]] += logits.sum(1 - axis)
        if self.only_negatives:
            self.positives.fill_(logits, tile, memory, -torch.inf)
        room = memory(1, logits.shape)
        for power, parts in zip(self.powers, self.parts, strict=True):
            powered = _times(logits, power, memory)
            for axis, part in enumerate(parts):
                # The lowest number, not minus infinity, has a difference to minus infinity.
                highest = powered.amax(1 - axis, keepdim=True).clamp_(min=self.lowest)
                torch.sub(powered, highest, out=room).exp_()
                log_sum = room.sum(1 - axis).log_().add_(highest.squeeze(1 - axis))
                part.setdefault(tile[axis].start, []).append(log_sum)

    def results(self) -> tuple[Tensor, ...]:
        self.log_sums = [[_joined(part) for part in parts] for parts in self.parts]
        del self.parts
        found: list[Tensor] = []
        for axis, positive in enumerate(self.positive):
            target = positive * self.weights[axis] if self.weights else positive
            if self.smoothing:
                mean = self.sums[axis] / self.columns
                target = (1 - self.smoothing) * target + self.smoothing * mean
            found += [target, *(log_sums[axis] for log_sums in self.log_sums)]
        return tuple(found)

    def gradient(
        self, logits: Tensor, tile: Tile, gradients: tuple[Tensor, ...], memory: Memory
    ) -> Tensor:
        if self.only_negatives:
            self.positives.fill_(logits, tile, memory, -torch.inf)
        group = 1 + len(self.powers)
        room, gradient = memory(1, logits.shape), memory(2, logits.shape)
        for number, (power, log_sums) in enumerate(zip(self.powers, self.log_sums, strict=True)):
            powered = _times(logits, power, memory)
            for axis, log_sum in enumerate(log_sums):
                share = gradients[axis * group + 1 + number][tile[axis]].unsqueeze(1 - axis)
                share = share if power == 1 else share * power
                first = number == axis == 0
                # Minus infinity, where other processes have all the negatives: see above.
                log_sum = log_sum[tile[axis]].clamp(min=self.lowest).unsqueeze(1 - axis)
                torch.sub(powered, log_sum, out=room).exp_()
                if first:
                    torch.mul(room, share, out=gradient)
                else:
                    gradient.addcmul_(room, share)
        shares = list(gradients[::group])
        if self.smoothing:
            for axis, share in enumerate(shares):
                gradient += (share[tile[axis]] * (self.smoothing / self.columns)).unsqueeze(
                    1 - axis
                )
            shares = [share * (1 - self.smoothing) for share in shares]
        if self.weights:
            shares = [share * each for share, each in zip(shares, self.weights, strict=True)]
        self.positives.spread_(gradient, tile, memory, *shares)
        return gradient


def _times(logits: Tensor, power: float, memory: Memory) -> Tensor:
    return logits if power == 1 else torch.mul(logits, power, out=memory(3, logits.shape))


def _joined(part: dict[int, list[Tensor]]) -> Tensor:
    """The log-sum-exps of whole rows, or of whole columns, from those of tiles in their order."""
    whole = [
        found[0] if len(found) == 1 else torch.stack(found).logsumexp(0) for found in part.values()
    ]
    return whole[0] if len(whole) == 1 else torch.cat(whole)
