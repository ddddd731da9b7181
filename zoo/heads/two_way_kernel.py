"""Kernel ridge regression both ways: each side of a model predicts where the other one is."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from zoo.arguments import PositiveFloat, PositiveInt, Share
from zoo.errors import ArgumentError
from zoo.heads.kernel_ridge import Which, chosen_rows, compare, evened, main_axes, ridge_values
from zoo.heads.whiten import turned_up

__all__ = ["TwoWayKernelHead"]

_NO_SPREAD = 1e-5
"""Axes of less than this share of the widest's spread are none: there were fewer rows than axes."""


class TwoWayKernelHead(nn.Module):
    """`Float[B, in_dim]` -> `Float[B, out_dim]`: a place on its own axes, and one predicted on the other
    side's.

    Both heads of a model are of this kind. Features are raised to a power, centred, projected onto
    their main axes, brought nearer to equal spread and normalised: that is their place. Kernel ridge
    regression of the training data, with a Gaussian kernel over places, predicts from it the place that
    the other side has on its axes. An embedding is both, so that the similarity of a picture and a caption
    is the mean of two: of the picture's place with the one that the caption predicts, and of the caption's
    with the one that the picture predicts. Regression alone from pictures to captions puts its predictions
    near to the middle, where a few captions are next to all of them (hubs); the way back does not.

    `fit` solves everything before the first step, and nothing trains. It wants frozen encoders.

    Args:
        rank: main axes of its own features, half of `out_dim` if not given; the rest is the other side's.
        landmarks: rows of the training data to compare with, kept in bytes; what it costs grows with them.
        which: of more in the training data, evenly `spaced` ones, or the `first`: for data that begins
            with what the model is for, and goes on with what helps.
        axes_of: how many rows, the first of the training data, say where centre and axes are; all, if not
            given.
        whitening: 1 for equal spread along all axes, 0 for the spread that is there.
        gamma: of the kernel exp(-gamma * d^2), with d the distance of two places.
        ridge: what is added to the kernel's diagonal; more is smoother.
        power: of the features' absolute values; 0.5 evens out those that are large at a few rows.

    Source: that regression towards the pictures has fewer hubs: Shigeto et al. 2015, "Ridge regression,
    hubness, and zero-shot learning", arXiv 1507.00825. Both ways at once is zoo's.

    Raises:
        ArgumentError: the rank is above `in_dim`, or leaves nothing of `out_dim`.
    """

    mean: Tensor
    axes: Tensor
    landmarks: Tensor
    values: Tensor
    own_first: Tensor
    fitted: Tensor

    def __init__(
        self,
        *,
        in_dim: int,
        out_dim: int,
        rank: PositiveInt | None = None,
        landmarks: PositiveInt = 4096,
        which: Which = "spaced",
        axes_of: PositiveInt | None = None,
        whitening: Share = 0.5,
        gamma: PositiveFloat = 1.0,
        ridge: PositiveFloat = 0.03,
        power: PositiveFloat = 1.0,
    ) -> None:
        super().__init__()
        rank = out_dim // 2 if rank is None else rank
        if not 0 < rank <= in_dim:
            raise ArgumentError(
                f"a rank of {rank}, of an embedding of {out_dim}; it is 1 to {in_dim}, as many features "
                "as the encoder has"
            )
        if rank >= out_dim:
            raise ArgumentError(
                f"rank={rank} leaves nothing of the embedding's {out_dim} to the other side; "
                "embedding_dim is the sum of both ranks"
            )
        self.which, self.axes_of, self.whitening = which, axes_of, whitening
        self.gamma, self.ridge, self.power = gamma, ridge, power
        self.register_buffer("mean", torch.zeros(in_dim))
        self.register_buffer("axes", F.normalize(torch.randn(in_dim, rank), dim=0))
        self.register_buffer("landmarks", _in_bytes(torch.randn(landmarks, rank)))
        self.register_buffer("values", torch.randn(landmarks, out_dim - rank) / landmarks**0.5)
        self.register_buffer("own_first", torch.tensor(True))
        self.register_buffer("fitted", torch.tensor(False))

    def forward(self, features: Float[Tensor, "batch in_dim"]) -> Float[Tensor, "batch out_dim"]:
        own = self.place(features)
        kernel = compare(own, _unit(self.landmarks, own), self.gamma)
        other = F.normalize(kernel @ self.values, dim=1)
        both = torch.cat((own, other), dim=1), torch.cat((other, own), dim=1)
        return torch.where(self.own_first, *both)

    def place(self, features: Float[Tensor, "batch in_dim"]) -> Float[Tensor, "batch rank"]:
        """Where features are on the main axes, as unit vectors."""
        on_axes = (evened(features, self.power) - self.mean) @ self.axes
        return F.normalize(on_axes, dim=1)

    @torch.no_grad()
    def settle(self, features: Float[Tensor, "rows in_dim"]) -> None:
        """Find the centre and the axes of its own features; `fit` of both heads comes after."""
        even = evened(features[: self.axes_of].to(self.mean.dtype), self.power)
        self.mean.copy_(even.mean(0))
        centred = F.normalize(even - self.mean, dim=1)
        axes, spread = main_axes(centred, self.axes.shape[1])
        scale = turned_up(spread, self.whitening)
        self.axes.copy_(axes * scale.where(spread > _NO_SPREAD, 0))

    @torch.no_grad()
    def fit(
        self,
        features: Float[Tensor, "rows in_dim"],
        places: Float[Tensor, "rows other_rank"],
        side: Literal["image", "text"],
    ) -> None:
        """Solve for what brings its own places to the other side's, row to row."""
        own = self.place(features.to(self.mean.dtype))
        chosen = chosen_rows(len(own), len(self.landmarks), self.which, own.device)
        count = len(chosen)
        self.landmarks.zero_()[:count] = _in_bytes(own[chosen])
        self.values.zero_()[:count] = ridge_values(
            own,
            places.to(own.dtype),
            _unit(self.landmarks[:count], own),
            gamma=self.gamma,
            ridge=self.ridge,
        )
        self.own_first.fill_(side == "image")
        self.fitted.fill_(True)


def _in_bytes(points: Tensor) -> Tensor:
    """Rows in whole numbers up to 127: a landmark can be anywhere, if values are solved for it there."""
    largest = points.abs().amax(1, keepdim=True).clamp(min=1e-12)
    return (points / largest * 127).round().to(torch.int8)


def _unit(landmarks: Tensor, like: Tensor) -> Tensor:
    return F.normalize(landmarks.to(like.dtype), dim=1)
