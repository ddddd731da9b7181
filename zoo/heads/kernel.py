"""Kernel ridge regression: a head that is solved from frozen features, and hardly trained."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from zoo.arguments import PositiveFloat, PositiveInt
from zoo.heads.kernel_ridge import Which, chosen_rows, compare, evened, main_axes, ridge_values

__all__ = ["KernelHead"]


class KernelHead(nn.Module):
    """`Float[B, in_dim]` -> `Float[B, out_dim]` by comparison with features that it was shown.

    Features are raised to a power, centred, projected onto their main axes and normalised. A Gaussian
    kernel compares them with each landmark, which is a picture of the training data, and the embedding
    is the sum of the landmarks' values, weighed by it. Landmarks and values are solved by `fit` before the
    first step; a gain and a bias for each dimension train from there. It wants an encoder that is frozen,
    and data that is scarce: its cost grows with `landmarks`.

    Args:
        landmarks: pictures to compare with.
        which: of more in the training data, evenly `spaced` ones, or the `first`: for data that begins
            with what the model is for, and goes on with what helps.
        rank: main axes of the features that count; at most `in_dim`.
        gamma: of the kernel exp(-gamma * d^2), with d the distance of two unit vectors.
        ridge: what is added to the kernel's diagonal; more is smoother.
        power: of the features' absolute values; 0.5 evens out those that are large at a few pictures.

    Source: Saunders et al. 1998, "Ridge regression learning algorithm in dual variables"; with fewer
    landmarks than pictures, the Nyström method of Williams & Seeger 2001.
    """

    mean: Tensor
    axes: Tensor
    landmarks: Tensor
    values: Tensor
    fitted: Tensor

    def __init__(
        self,
        *,
        in_dim: int,
        out_dim: int,
        landmarks: PositiveInt = 4096,
        which: Which = "spaced",
        rank: PositiveInt = 256,
        gamma: PositiveFloat = 1.0,
        ridge: PositiveFloat = 0.03,
        power: PositiveFloat = 0.5,
    ) -> None:
        super().__init__()
        rank = min(rank, in_dim)
        self.which, self.gamma, self.ridge, self.power = which, gamma, ridge, power
        self.register_buffer("mean", torch.zeros(in_dim))
        self.register_buffer("axes", F.normalize(torch.randn(in_dim, rank), dim=0))
        self.register_buffer("landmarks", F.normalize(torch.randn(landmarks, rank), dim=1))
        self.register_buffer("values", torch.randn(landmarks, out_dim) / landmarks**0.5)
        self.register_buffer("fitted", torch.tensor(False))
        self.gain = nn.Parameter(torch.ones(out_dim))
        self.bias = nn.Parameter(torch.zeros(out_dim))

    def forward(self, features: Float[Tensor, "batch in_dim"]) -> Float[Tensor, "batch out_dim"]:
        points = F.normalize((evened(features, self.power) - self.mean) @ self.axes, dim=1)
        embeds: Tensor = compare(points, self.landmarks, self.gamma) @ self.values
        scaled: Tensor = embeds * self.gain + self.bias
        return scaled

    @torch.no_grad()
    def fit(
        self, features: Float[Tensor, "rows in_dim"], targets: Float[Tensor, "rows out_dim"]
    ) -> None:
        """Solve for what brings the features to the targets."""
        even = evened(features.to(self.mean.dtype), self.power)
        self.mean.copy_(even.mean(0))
        centred = F.normalize(even - self.mean, dim=1)
        self.axes.copy_(main_axes(centred, self.axes.shape[1])[0])
        points = F.normalize(centred @ self.axes, dim=1)
        chosen = chosen_rows(len(points), len(self.landmarks), self.which, points.device)
        self.landmarks.zero_()[: len(chosen)] = points[chosen]
        self.values.zero_()[: len(chosen)] = ridge_values(
            points, targets.to(points.dtype), points[chosen], gamma=self.gamma, ridge=self.ridge
        )
        self.fitted.fill_(True)
