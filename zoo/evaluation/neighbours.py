"""k-NN classification: pictures to the class of the training pictures that are nearest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from zoo.errors import DataError
from zoo.evaluation.classification import Classification, classification
from zoo.evaluation.ranking import check_embeds, tie_width

__all__ = ["nearest_neighbours"]

_BLOCK = 1 << 25
"""Similarities computed at once."""
_LEAST = 1e-6
"""The share of votes given to a class without any, so that its logarithm is finite."""


def nearest_neighbours(
    train_embeds: Float[Tensor, "train dim"],
    train_labels: Int[Tensor, " train"],
    image_embeds: Float[Tensor, "pictures dim"],
    labels: Int[Tensor, " pictures"],
    classes: Sequence[str],
    *,
    k: int = 20,
    temperature: float = 0.07,
) -> Classification:
    """Let the k nearest training pictures vote, each by `exp(cosine / temperature)`.

    Training pictures as near as the k-th vote too.

    Args:
        labels: the right class of each picture, as a row of `classes`; likewise `train_labels`.

    Raises:
        DataError: there are fewer than k training pictures, or an embedding has no direction.

    Source: Wu et al. 2018, arXiv 1805.01978, section 3.4.
    """
    check_embeds(train_embeds, "training pictures")
    check_embeds(image_embeds, "pictures")
    if not 1 <= k <= len(train_embeds):
        raise DataError(
            f"the number of neighbours is from 1 to the {len(train_embeds)} training pictures, "
            f"not {k}"
        )
    train = F.normalize(train_embeds.float(), dim=1).T

    def votes() -> Iterator[Tensor]:
        for block in torch.split(image_embeds, max(1, _BLOCK // len(train_embeds))):
            cosines = F.normalize(block.float(), dim=1) @ train
            last = cosines.topk(k, dim=1).values[:, -1:]
            rows, near = (cosines >= last - tie_width(cosines.dtype)).nonzero(as_tuple=True)
            weights = (cosines[rows, near].double() / temperature).exp()
            shares = torch.zeros(len(block), len(classes), dtype=torch.float64)
            shares.index_put_((rows, train_labels[near]), weights, accumulate=True)
            yield (shares / shares.sum(1, keepdim=True)).clamp(min=_LEAST).log()

    return classification(
        votes(), labels, classes, width=2 * tie_width(torch.float32) / temperature
    )
