"""A linear map with a small learned correction on top."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoo.arguments import PositiveInt, Probability

__all__ = ["ResidualMLPHead"]


class ResidualMLPHead(nn.Module):
    """`Float[B, in_dim]` -> `Float[B, out_dim]`: `p + gate * f(norm(p))` with `p` a linear map.

    The gate starts at zero, so that training starts from the linear head and moves away from it
    only as far as the data asks.

    Args:
        hidden_dim: width of the correction's hidden layer; `2 * out_dim` when not given.
        dropout: probability of zeroing a hidden unit in training, in [0, 1).

    Source: zero-initialised residual branches, Bachlechner et al. 2020, arXiv 2003.04887.
    """

    def __init__(
        self,
        *,
        in_dim: int,
        out_dim: int,
        hidden_dim: PositiveInt | None = None,
        dropout: Probability = 0.0,
    ) -> None:
        super().__init__()
        hidden_dim = 2 * out_dim if hidden_dim is None else hidden_dim
        self.proj = nn.Linear(in_dim, out_dim)
        self.mlp = nn.Sequential(
            nn.LayerNorm(out_dim),
            nn.Linear(out_dim, hidden_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_dim, out_dim),
        )
        self.gate = nn.Parameter(torch.zeros(1))

    def forward(self, features: Float[Tensor, "batch in_dim"]) -> Float[Tensor, "batch out_dim"]:
        projected: Tensor = self.proj(features)
        embeds: Tensor = projected + self.gate * self.mlp(projected)
        return embeds
