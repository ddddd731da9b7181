"""The reference head: linear, GELU, linear."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from zoo.arguments import PositiveInt, Probability

__all__ = ["MLPHead"]


class MLPHead(nn.Module):
    """`Float[B, in_dim]` -> `Float[B, out_dim]` through one hidden layer with GELU.

    Args:
        hidden_dim: width of the hidden layer; `in_dim` when not given.
        normalize: L2-normalise the features first and scale them by sqrt(in_dim), which
            evens out encoders whose feature norms vary from picture to picture.
        dropout: probability of zeroing a hidden unit in training, in [0, 1).
        input_dropout: the same for the features themselves.
    """

    def __init__(
        self,
        *,
        in_dim: int,
        out_dim: int,
        hidden_dim: PositiveInt | None = None,
        normalize: bool = False,
        dropout: Probability = 0.0,
        input_dropout: Probability = 0.0,
    ) -> None:
        super().__init__()
        hidden_dim = in_dim if hidden_dim is None else hidden_dim
        self.scale = in_dim**0.5 if normalize else None
        self.input_dropout = nn.Dropout(input_dropout)
        self.fc1 = nn.Linear(in_dim, hidden_dim)
        self.act = nn.GELU()
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(hidden_dim, out_dim)

    def forward(self, features: Float[Tensor, "batch in_dim"]) -> Float[Tensor, "batch out_dim"]:
        if self.scale is not None:
            features = F.normalize(features, dim=-1) * self.scale
        hidden = self.act(self.fc1(self.input_dropout(features)))
        embeds: Tensor = self.fc2(self.dropout(hidden))
        return embeds
