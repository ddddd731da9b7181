"""One linear map, as in CLIP's own projections."""

from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["LinearHead"]


class LinearHead(nn.Module):
    """`Float[B, in_dim]` -> `Float[B, out_dim]` by one matrix.

    Source: Radford et al. 2021, arXiv 2103.00020, figure 3 (there without a bias).
    """

    def __init__(self, *, in_dim: int, out_dim: int, bias: bool = False) -> None:
        super().__init__()
        self.proj = nn.Linear(in_dim, out_dim, bias=bias)

    def forward(self, features: Float[Tensor, "batch in_dim"]) -> Float[Tensor, "batch out_dim"]:
        embeds: Tensor = self.proj(features)
        return embeds
