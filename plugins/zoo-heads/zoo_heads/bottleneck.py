"""A head with few parameters."""

from jaxtyping import Float
from torch import Tensor, nn

from zoo.arguments import PositiveInt, Probability

__all__ = ["BottleneckHead"]


class BottleneckHead(nn.Module):
    """`Float[B, in_dim]` -> `Float[B, out_dim]` through a narrow layer.

    Args:
        rank: width of the narrow layer; an eighth of `in_dim`, and at least 1, when not given.
        dropout: probability of zeroing a feature of the narrow layer in training, in [0, 1).

    Source: the shape of adapters, Houlsby et al. 2019, arXiv 1902.00751.
    """

    def __init__(
        self,
        *,
        in_dim: int,
        out_dim: int,
        rank: PositiveInt | None = None,
        dropout: Probability = 0.0,
    ) -> None:
        super().__init__()
        rank = max(in_dim // 8, 1) if rank is None else rank
        self.norm = nn.LayerNorm(in_dim)
        self.down = nn.Linear(in_dim, rank)
        self.act = nn.GELU()
        self.dropout = nn.Dropout(dropout)
        self.up = nn.Linear(rank, out_dim)

    def forward(self, features: Float[Tensor, "batch in_dim"]) -> Float[Tensor, "batch out_dim"]:
        narrow = self.act(self.down(self.norm(features)))
        embeds: Tensor = self.up(self.dropout(narrow))
        return embeds
