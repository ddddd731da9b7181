"""A batch as losses compute with it: rows of all processes, in a precision that sums can bear."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from zoo.errors import LossError
from zoo.losses.gather import first_row, gather_ids, gather_rows, row_counts
from zoo.losses.positives import Positives

__all__ = ["Batch", "check_negatives", "gather_batch"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Some images, all texts, and which belong together."""

    images: Tensor
    """This process's, or a micro-batch of them, in float32 or float64."""
    texts: Tensor
    """Those of every process, in the same precision."""
    positives: Positives
    own: slice
    """Where this process's pairs are among those of every process."""
    counts: list[int]
    """How many pairs each process has."""

    @property
    def count(self) -> int:
        """How many pairs this process has."""
        count: int = self.own.stop - self.own.start
        return count


def gather_batch(
    image_embeds: Float[Tensor, "rows dim"],
    text_embeds: Float[Tensor, "batch dim"],
    image_ids: Tensor | None = None,
    text_ids: Tensor | None = None,
    first: int | None = None,
) -> Batch:
    """Texts and ids of all processes beside this process's images.

    Args:
        image_ids: a whole number for each pair of the batch, equal for the same picture.
        text_ids: likewise, for the same caption.
        first: the pair that the first image belongs to, for a micro-batch of images.

    Raises:
        LossError: shapes or ids do not fit.
    """
    for name, embeds in (("image_embeds", image_embeds), ("text_embeds", text_embeds)):
        if embeds.ndim != 2:
            raise LossError(
                f"{name} has the shape {tuple(embeds.shape)}, and a loss takes a row for each pair: "
                "(pairs, dimensions)"
            )
    if image_embeds.shape[1] != text_embeds.shape[1]:
        raise LossError(
            f"image_embeds has {image_embeds.shape[1]} dimensions and text_embeds {text_embeds.shape[1]}; "
            "heads of one embedding_dim bring both to one space"
        )
    count = text_embeds.shape[0]
    if first is None and image_embeds.shape[0] != count:
        raise LossError(
            f"a loss takes as many images as texts, and got {image_embeds.shape[0]} and {count}"
        )
    if not count or not image_embeds.shape[0]:
        raise LossError("a loss takes at least one pair, and got none")
    begin = first or 0
    if begin < 0 or begin + image_embeds.shape[0] > count:
        raise LossError(
            f"images {begin} to {begin + image_embeds.shape[0] - 1} are not all of a batch of {count} pairs"
        )
    for name, ids in (("image_ids", image_ids), ("text_ids", text_ids)):
        if ids is None:
            continue
        if not isinstance(ids, Tensor):
            raise LossError(f"{name} is a {type(ids).__name__}, and has to be a tensor")
        if ids.shape != (count,) or ids.is_floating_point():
            raise LossError(
                f"{name} is {ids.dtype} of shape {tuple(ids.shape)}, and has to be one whole number for "
                f"each of {count} pairs"
            )
    dtype = torch.promote_types(
        torch.promote_types(image_embeds.dtype, text_embeds.dtype), torch.float32
    )
    counts = row_counts(count, text_embeds.device)
    texts = gather_rows(text_embeds, counts).to(dtype)
    all_ids = [each if each is None else gather_ids(each, counts) for each in (image_ids, text_ids)]
    own = slice(first_row(counts), first_row(counts) + count)
    positives = Positives(texts.shape[0], own.start + begin, *all_ids)
    return Batch(image_embeds.to(dtype), texts, positives, own, counts)


def check_negatives(loss: str, batch: Batch) -> None:
    """Each pair has a negative.

    Raises:
        LossError: one has none, so that the logarithm of the sum over negatives does not exist.
    """
    counts, total = batch.positives.counts, batch.texts.shape[0]
    if counts is None and total > 1:
        return
    alone = batch.own.start if counts is None else int(counts.argmax())
    if counts is None or counts[alone] == total:
        raise LossError(
            f"the loss {loss!r} takes a negative for each pair, and pair {alone} has none among "
            f"{total}: more pairs, or fewer with one picture or caption, have some"
        )
