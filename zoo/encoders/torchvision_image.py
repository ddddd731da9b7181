"""Image encoders from torchvision: any classification architecture without its classifier."""

from typing import Any

from torch import nn

from zoo.encoders.image import ImageEncoder
from zoo.encoders.preprocess import Preprocess
from zoo.errors import UnknownNameError, suggestion
from zoo.weights.read import load_strictly, read_tensors
from zoo.weights.source import WeightsSource
from zoo.weights.torch_hub import cached_checkpoint

__all__ = ["create"]


def create(architecture: str, *, weights: str | None = "DEFAULT") -> ImageEncoder:
    """Any architecture of `torchvision.models.list_models(module=torchvision.models)`.

    Args:
        weights: a torchvision tag such as `IMAGENET1K_V2`, `DEFAULT`, or None for random ones.

    Raises:
        UnknownNameError: torchvision has no such architecture, or it no such tag.
        WeightsError: the weights are neither cached nor to be had, or damaged.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if architecture not in known:
        raise UnknownNameError(
            f"torchvision has no architecture {architecture!r}.{suggestion(architecture, known)}"
        )
    tags = models.get_model_weights(architecture)
    if weights is not None and weights not in tags.__members__:
        raise UnknownNameError(
            f"torchvision's {architecture} has no weights {weights!r}; it has "
            f"{', '.join(tags.__members__)}.{suggestion(weights, tags.__members__)}"
        )
    entry = tags["DEFAULT" if weights is None else weights]
    options: dict[str, Any] = {}
    if architecture in ("googlenet", "inception_v3"):
        # Both rescale their input when they run ImageNet weights, and carry auxiliary classifiers.
        options = {"transform_input": weights is not None, "aux_logits": weights is not None}
        options["init_weights"] = weights is None
    backbone = models.get_model(architecture, weights=None, **options)
    source = None
    if weights is not None:
        path = cached_checkpoint(entry.url)
        load_strictly(backbone, read_tensors(path), str(path))
        source = WeightsSource(entry.name, entry.url, path.name)
    if hasattr(backbone, "aux_logits"):
        backbone.aux_logits = False
        for name in [
            name for name, _ in backbone.named_children() if name.lower().startswith("aux")
        ]:
            setattr(backbone, name, None)
    return ImageEncoder(
        backbone, _drop_classifier(backbone), _preprocess(entry.transforms()), source
    )


def _drop_classifier(backbone: nn.Module) -> int:
    """Take off the last linear layer, and return how many features it saw."""
    if type(backbone).__name__ == "SqueezeNet":  # classifies by a convolution, then pools
        backbone.classifier = nn.AdaptiveAvgPool2d(1)
        return 512
    name, classifier = [
        (name, module) for name, module in backbone.named_modules() if isinstance(module, nn.Linear)
    ][-1]
    parent, _, attribute = name.rpartition(".")
    setattr(backbone.get_submodule(parent), attribute, nn.Identity())
    return classifier.in_features


def _preprocess(transforms: Any) -> Preprocess:
    size, crop = transforms.resize_size, transforms.crop_size
    return Preprocess(
        resize=size[0],
        crop=(crop[0], crop[0]),
        interpolation=transforms.interpolation.value,
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
    )
