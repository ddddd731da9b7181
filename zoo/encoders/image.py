"""What every built-in image encoder is: a backbone without its classifier, and what must travel with it."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from zoo.encoders.preprocess import Preprocess
from zoo.weights.source import WeightsSource

__all__ = ["ImageEncoder"]


class ImageEncoder(nn.Module):
    """A network up to the features that its classifier would have seen.

    Attributes:
        out_dim: number of features.
        preprocess: as the weights were trained for.
        any_size: whether it takes pictures of other sizes than `preprocess.crop`.
        weights_source: where the weights came from, or None for random ones.
        resolved_args: arguments that the weights decided, which a saved spec must keep.
    """

    def __init__(
        self,
        backbone: nn.Module,
        out_dim: int,
        preprocess: Preprocess,
        weights_source: WeightsSource | None,
        resolved_args: dict[str, Any] | None = None,
        *,
        tokens_of: Callable[[nn.Module, Tensor], Tensor],
        any_size: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.any_size = any_size
        self._tokens_of = tokens_of
        self.out_dim = out_dim
        self.preprocess = preprocess
        self.weights_source = weights_source
        self.resolved_args = resolved_args or {}

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch out_dim"]:
        features: Tensor = self.backbone(images)
        return features

    def forward_tokens(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch places channels"]:
        """Features before pooling: a vector for each place of the picture, row by row."""
        return self._tokens_of(self.backbone, images)
