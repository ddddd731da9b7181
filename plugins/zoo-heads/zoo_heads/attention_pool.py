"""A head that does the pooling itself."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoo.arguments import PositiveInt, Probability
from zoo.errors import ArgumentError

__all__ = ["AttentionPoolHead"]


class AttentionPoolHead(nn.Module):
    """`Float[B, N, in_dim]` -> `Float[B, out_dim]`: one learned query asks all places of a picture.

    It takes the encoder's features before pooling, which `takes_tokens` asks for: zoo then calls
    the encoder's `forward_tokens`, and `in_dim` is the number of features of one place.

    Args:
        num_heads: attention heads; a divisor of `out_dim`.
        hidden_dim: width of the two-layer correction after pooling; `4 * out_dim` when not given.
        dropout: probability of zeroing an attention weight in training, in [0, 1).

    Raises:
        ArgumentError: `out_dim` is not a multiple of `num_heads`.

    Source: the pooling of Set Transformer (Lee et al. 2019, arXiv 1810.00825), as vision
    transformers use it (Zhai et al. 2022, arXiv 2106.04560).
    """

    takes_tokens = True

    def __init__(
        self,
        *,
        in_dim: int,
        out_dim: int,
        num_heads: PositiveInt = 8,
        hidden_dim: PositiveInt | None = None,
        dropout: Probability = 0.0,
    ) -> None:
        super().__init__()
        if out_dim % num_heads:
            raise ArgumentError(
                f"the head 'attention-pool' splits {out_dim} dimensions among num_heads = {num_heads}, "
                "which does not divide them"
            )
        hidden_dim = 4 * out_dim if hidden_dim is None else hidden_dim
        self.proj = nn.Linear(in_dim, out_dim)
        self.norm = nn.LayerNorm(out_dim)
        self.query = nn.Parameter(torch.randn(1, 1, out_dim) * out_dim**-0.5)
        self.attention = nn.MultiheadAttention(out_dim, num_heads, dropout, batch_first=True)
        self.mlp = nn.Sequential(
            nn.LayerNorm(out_dim),
            nn.Linear(out_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, out_dim),
        )

    def forward(
        self, tokens: Float[Tensor, "batch places in_dim"]
    ) -> Float[Tensor, "batch out_dim"]:
        places = self.norm(self.proj(tokens))
        query = self.query.expand(tokens.shape[0], -1, -1)
        pooled = self.attention(query, places, places, need_weights=False)[0].squeeze(1)
        embeds: Tensor = pooled + self.mlp(pooled)
        return embeds
