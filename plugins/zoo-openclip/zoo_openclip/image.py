"""open_clip's image towers: Vision Transformers, ResNets, and those of timm."""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from zoo import Preprocess
from zoo.weights.record import recorded_if_usable
from zoo.weights.source import WeightsSource, check_tag
from zoo_openclip.configs import activation, config_of, preprocess_of, tags_of
from zoo_openclip.towers import build_tower, pretrained_tower

__all__ = ["OpenCLIPImageEncoder", "create", "examples", "weights_tags"]


class OpenCLIPImageEncoder(nn.Module):
    """An image tower, up to the features that open_clip would normalise.

    Attributes:
        out_dim: number of features.
        preprocess: as the weights were trained for.
        weights_source: where the weights came from, or None for random ones.
        resolved_args: arguments that the weights decided, which a saved spec must keep.
    """

    def __init__(
        self,
        tower: nn.Module,
        out_dim: int,
        preprocess: Preprocess,
        weights_source: WeightsSource | None,
        resolved_args: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.tower = tower
        self.out_dim = out_dim
        self.preprocess = preprocess
        self.weights_source = weights_source
        self.resolved_args = resolved_args or {}

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch out_dim"]:
        features: Tensor = self.tower(images)
        return features


@recorded_if_usable()
def create(
    config: str, *, weights: str | None = "default", quick_gelu: bool | None = None
) -> OpenCLIPImageEncoder:
    """The image tower of any config of `open_clip.list_models()`, projection included.

    Args:
        weights: a pretrained tag of the config (open_clip has no default), or None for random ones.
        quick_gelu: the activation, for random weights; a tag's weights have their own.

    Raises:
        UnknownNameError: open_clip has no such config, or it no such tag.
        ArgumentError: the weights were trained with the other activation.
        WeightsError: the weights are neither cached nor to be had, damaged, or do not fit.

    Source: Cherti et al. 2022, arXiv 2212.07143; Ilharco et al., doi 10.5281/zenodo.5143773.
    """
    check_tag(weights, tags_of(config), f"open_clip's {config}")
    quick = activation(config, weights, quick_gelu)
    if weights is None:
        tower, source = build_tower(config, "visual", quick), None
    else:
        tower, source = pretrained_tower(config, weights, "visual", quick)
    preprocess = preprocess_of(config, weights, tower.image_size)
    width = int(config_of(config)["embed_dim"])
    return OpenCLIPImageEncoder(tower, width, preprocess, source, {"quick_gelu": quick})


def weights_tags(config: str) -> list[str]:
    """The pretrained tags of a config.

    Raises:
        UnknownNameError: open_clip has no such config.
    """
    return tags_of(config)


def examples() -> list[str]:
    """Small configs of every sort: with QuickGELU, a ResNet, and SigLIP's of timm."""
    return [f"openclip/{name}" for name in ("ViT-B-32-quickgelu", "RN50", "ViT-B-32-SigLIP2-256")]
