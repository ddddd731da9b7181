"""Recall at k between pictures and texts, one text a picture."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from zoo.errors import DataError

__all__ = ["Recall", "recall_at"]


@dataclass(frozen=True)
class Recall:
    """Share of queries whose own partner is among the k nearest, in [0, 1], by k."""

    image_to_text: dict[int, float]
    text_to_image: dict[int, float]
    count: int

    def as_json(self) -> dict[str, object]:
        return {
            "image_to_text": {f"recall@{k}": value for k, value in self.image_to_text.items()},
            "text_to_image": {f"recall@{k}": value for k, value in self.text_to_image.items()},
            "count": self.count,
        }


def recall_at(
    image_embeds: Float[Tensor, "count dim"],
    text_embeds: Float[Tensor, "count dim"],
    ks: tuple[int, ...] = (1, 5, 10),
) -> Recall:
    """Recall in both directions, for row i of one belonging to row i of the other.

    A tie counts against the model, so that constant embeddings recall nothing.

    Raises:
        DataError: an embedding is not finite.
    """
    if not (image_embeds.isfinite().all() and text_embeds.isfinite().all()):
        raise DataError("the embeddings hold NaN or infinity, so that nothing can be ranked")
    similarity = image_embeds @ text_embeds.T
    own = similarity.diagonal()
    ranks = {
        "image_to_text": (similarity >= own[:, None]).sum(1) - 1,
        "text_to_image": (similarity >= own[None, :]).sum(0) - 1,
    }
    shares = {
        way: {k: (rank < k).to(torch.float64).mean().item() for k in ks}
        for way, rank in ranks.items()
    }
    return Recall(shares["image_to_text"], shares["text_to_image"], len(own))
