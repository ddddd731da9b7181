"""How many wrong answers come before each right one: the core that every retrieval metric stands on."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from zoo.errors import DataError

__all__ = ["Ties", "check_embeds", "count_wrong", "tie_width"]

Ties = Literal["against", "for"]
"""Whether a wrong answer as similar as the right one comes before it, or after it."""

_BLOCK = 1 << 25
"""Similarities computed at once: 128 MB."""
_KEPT = 1 << 27
"""Up to so many are kept for the second direction, in 512 MB; more are computed twice."""
_COLUMNS = 1 << 15
"""Captions normalised at once."""
_SUMMED = 64
"""Rows summed at once, in bytes: at most 255."""


def count_wrong(
    image_embeds: Float[Tensor, "images dim"],
    text_embeds: Float[Tensor, "texts dim"],
    text_image: Int[Tensor, " texts"],
    *,
    ties: Ties = "against",
) -> tuple[Int[Tensor, " texts"], Int[Tensor, " texts"]]:
    """For each caption and its picture: how many wrong answers come first, in either direction.

    The first result counts the captions of other pictures that are nearer to this picture, the
    second the other pictures that are nearer to this caption. By cosine, on the CPU, in blocks:
    the memory needed does not grow with the product of the two counts. Similarities that differ by
    no more than `tie_width` are equal.

    Args:
        text_image: the row of the picture that each caption belongs to. A picture may have none.

    Raises:
        DataError: an embedding has no direction, or a caption no picture.
    """
    images, texts, owner = _checked(image_embeds, text_embeds, text_image)
    before = np.greater_equal if ties == "against" else np.greater
    width = tie_width(images.dtype) * (-1 if ties == "against" else 1)
    by_owner = np.argsort(owner, kind="stable")
    first_of = np.searchsorted(owner[by_owner], np.arange(len(images) + 1))
    limits = np.empty(len(texts), np.float64 if images.dtype == torch.float64 else np.float32)
    flags = np.empty((_SUMMED, len(texts)), np.bool_)
    by_image, by_text = (np.zeros(len(texts), np.int64) for _ in range(2))
    height = max(1, _BLOCK // len(texts))
    kept: dict[int, np.ndarray] = {}
    for start in range(0, len(images), height):
        captions = by_owner[first_of[start] : first_of[min(start + height, len(images))]]
        if not len(captions):
            continue  # pictures without captions ask for nothing
        block = _similarities(images[start : start + height], texts)
        rows = owner[captions] - start
        limits[captions] = block[rows, captions] + width
        block[rows, captions] = -np.inf  # what is right is not among the wrong
        for row, caption in zip(rows, captions, strict=True):
            before(block[row], limits[caption], out=flags[0])
            by_image[caption] = np.count_nonzero(flags[0])
        if len(images) * len(texts) <= _KEPT:
            kept[start] = block
        del block
    for start in range(0, len(images), height):
        if start in kept:
            block = kept.pop(start)
        else:
            captions = by_owner[first_of[start] : first_of[min(start + height, len(images))]]
            block = _similarities(images[start : start + height], texts)
            block[owner[captions] - start, captions] = -np.inf
        for top in range(0, len(block), _SUMMED):
            some = block[top : top + _SUMMED]
            before(some, limits, out=flags[: len(some)])
            by_text += flags[: len(some)].view(np.uint8).sum(0, dtype=np.uint8)
        del block
    return torch.from_numpy(by_image), torch.from_numpy(by_text)


def tie_width(dtype: torch.dtype) -> float:
    """How far apart two cosines may be and still count as equal: eight roundings of 1.

    The order in which a product sums differs with its shape, so that the same two vectors give
    cosines up to three roundings apart.
    """
    return 8 * torch.finfo(dtype).eps


def check_embeds(embeds: Float[Tensor, "count dim"], what: str) -> None:
    """Refuse embeddings that point nowhere; `what` they are of, in the plural.

    Raises:
        DataError: there are none, or a row is not finite, or all zeros.
    """
    if embeds.numel() == 0:
        raise DataError(f"there are no {what} to evaluate")
    lengths = torch.cat([rows.float().norm(dim=1) for rows in torch.split(embeds, 1 << 14)])
    wrong = (~lengths.isfinite()).nonzero()
    if len(wrong):
        raise DataError(
            f"the embeddings of the {what} hold NaN or infinity, so that nothing can be ranked: "
            f"{len(wrong)} of {len(embeds)} rows, the first is row {int(wrong[0])}"
        )
    if not lengths.all():
        row = int((lengths == 0).nonzero()[0])
        raise DataError(f"row {row} of the embeddings of the {what} is all zeros: no direction")


def _checked(
    images: Tensor, texts: Tensor, text_image: Tensor
) -> tuple[Tensor, Tensor, np.ndarray]:
    check_embeds(images, "pictures")
    check_embeds(texts, "captions")
    owner = text_image.cpu().numpy().astype(np.int64)
    for each in (owner.min(), owner.max()):
        if not 0 <= each < len(images):
            raise DataError(
                f"a caption belongs to picture {each}, and there are pictures 0 to {len(images) - 1}"
            )
    dtype = torch.promote_types(torch.promote_types(images.dtype, texts.dtype), torch.float32)
    return images.detach().cpu().to(dtype), texts.detach().cpu().to(dtype), owner


def _similarities(images: Tensor, texts: Tensor) -> np.ndarray:
    block = torch.empty(len(images), len(texts), dtype=images.dtype)
    images = F.normalize(images, dim=1)
    for start in range(0, len(texts), _COLUMNS):
        some = F.normalize(texts[start : start + _COLUMNS], dim=1)
        torch.mm(images, some.T, out=block[:, start : start + _COLUMNS])
    found: np.ndarray = block.numpy()
    return found
