"""Whitening: the directions that features share are turned down, those that tell them apart up."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from zoo.arguments import Share
from zoo.errors import ArgumentError
from zoo.heads.exact import exact

__all__ = ["WhitenHead", "turned_up"]

_LEAST = 0.02
"""Directions of less spread than this share of the widest are turned up no further."""


class WhitenHead(nn.Module):
    """`Float[B, dim]` -> the same, centred and with its main axes brought nearer to equal spread.

    It has nothing to train: `fit` finds centre and axes from the features of the training data before
    the first step. Until then it only normalises.

    Args:
        strength: 1 for equal spread along all axes, 0 for the spread that is there.

    Source: PCA whitening; of sentence embeddings, Su et al. 2021, arXiv 2103.15316.

    Raises:
        ArgumentError: `in_dim` and `out_dim` differ.
    """

    mean: Tensor
    map: Tensor
    fitted: Tensor

    def __init__(self, *, in_dim: int, out_dim: int, strength: Share = 0.3) -> None:
        super().__init__()
        if in_dim != out_dim:
            raise ArgumentError(
                f"the head 'whiten' keeps the encoder's {in_dim} features, and the embedding has "
                f"{out_dim}; say embedding_dim = {in_dim}, or choose 'linear'"
            )
        self.strength = strength
        self.register_buffer("mean", torch.zeros(in_dim))
        self.register_buffer("map", torch.eye(in_dim))
        self.register_buffer("fitted", torch.tensor(False))

    def forward(self, features: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        return (F.normalize(features, dim=1) - self.mean) @ self.map

    @torch.no_grad()
    def fit(self, features: Float[Tensor, "rows dim"]) -> None:
        """Find centre and axes of the features."""
        points = F.normalize(exact(features), dim=1)
        mean = points.mean(0)
        variances, axes = torch.linalg.eigh((points - mean).T @ (points - mean))
        spread = variances.clamp(min=0).sqrt()
        scale = turned_up(spread / spread[-1].clamp(min=1e-12), self.strength)
        self.mean.copy_(mean)
        self.map.copy_(axes * scale @ axes.T)
        self.fitted.fill_(True)


def turned_up(spread: Tensor, strength: float) -> Tensor:
    """What axes are multiplied by, of their spreads as shares of the widest."""
    scale: Tensor = spread.clamp(min=_LEAST) ** -strength
    return scale
