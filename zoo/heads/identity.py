"""No projection: for encoders whose features are the embedding already."""

from jaxtyping import Float
from torch import Tensor, nn

from zoo.errors import ArgumentError

__all__ = ["IdentityHead"]


class IdentityHead(nn.Module):
    """`Float[B, dim]` -> the same, without parameters.

    Raises:
        ArgumentError: `in_dim` and `out_dim` differ.
    """

    def __init__(self, *, in_dim: int, out_dim: int) -> None:
        super().__init__()
        if in_dim != out_dim:
            raise ArgumentError(
                f"the head 'identity' keeps the encoder's {in_dim} features, and the embedding has "
                f"{out_dim}; choose 'linear' or 'mlp-gelu', or embedding_dim = {in_dim}"
            )

    def forward(self, features: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        return features
