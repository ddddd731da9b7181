"""Kernel ridge regression: a head that is solved from frozen features, and hardly trained."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from zoo.arguments import PositiveFloat, PositiveInt

__all__ = ["KernelHead"]

_ROWS_AT_ONCE = 4096
_NOTHING = 1e-6
"""Added before the root, whose gradient at zero is infinite."""


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
        which: Literal["spaced", "first"] = "spaced",
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
        points = F.normalize((self._evened(features) - self.mean) @ self.axes, dim=1)
        embeds: Tensor = self._kernel(points, self.landmarks) @ self.values
        scaled: Tensor = embeds * self.gain + self.bias
        return scaled

    @torch.no_grad()
    def fit(
        self, features: Float[Tensor, "rows in_dim"], targets: Float[Tensor, "rows out_dim"]
    ) -> None:
        """Solve for what brings the features to the targets."""
        evened = self._evened(features.to(self.mean.dtype))
        self.mean.copy_(evened.mean(0))
        centred = F.normalize(evened - self.mean, dim=1)
        self.axes.copy_(_main_axes(centred, self.axes.shape[1]))
        points = F.normalize(centred @ self.axes, dim=1)
        count = min(len(points), len(self.landmarks))
        last = (len(points) if self.which == "spaced" else count) - 1
        chosen = torch.linspace(0, last, count, device=points.device).round().long()
        self.landmarks.zero_()[:count] = points[chosen]
        among = self._kernel(points[chosen], points[chosen]).double()
        if count == len(points):  # every picture is a landmark
            system, wanted = among, targets.double()
            system.diagonal().add_(self.ridge)
        else:
            system = among * self.ridge
            system.diagonal().add_(self.ridge * 1e-4)  # the kernel alone may be singular
            wanted = torch.zeros(count, targets.shape[1], dtype=system.dtype, device=system.device)
            for start in range(0, len(points), _ROWS_AT_ONCE):
                rows = slice(start, start + _ROWS_AT_ONCE)
                compared = self._kernel(points[rows], points[chosen]).double()
                system += compared.T @ compared
                wanted += compared.T @ targets[rows].double()
        factor = torch.linalg.cholesky(system)
        self.values.zero_()[:count] = torch.cholesky_solve(wanted, factor).to(self.values.dtype)
        self.fitted.fill_(True)

    def _evened(self, features: Tensor) -> Tensor:
        length = features.shape[1] ** 0.5
        features = features.sign() * (features.abs() + _NOTHING) ** self.power
        evened: Tensor = F.normalize(features, dim=1) * length
        return evened

    def _kernel(self, points: Tensor, others: Tensor) -> Tensor:
        kernel: Tensor = (2 * self.gamma * (points @ others.T - 1)).exp()
        return kernel


def _main_axes(centred: Tensor, count: int) -> Tensor:
    """The directions of the most variance, as columns, each with its largest entry positive."""
    axes = torch.linalg.eigh((centred.T @ centred).double())[1][:, -count:].flip(1)
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    signed: Tensor = (axes * largest.sign()).to(centred.dtype)
    return signed
