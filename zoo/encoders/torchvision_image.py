"""Image encoders from torchvision: any classification architecture without its classifier."""

import re
from collections.abc import Container
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models

from zoo.arguments import PositiveInt
from zoo.encoders.image import ImageEncoder
from zoo.encoders.preprocess import Preprocess
from zoo.errors import UnknownNameError, suggestion
from zoo.weights.address import address_of, fetched
from zoo.weights.claims import check_numbers
from zoo.weights.read import load_strictly, own, read_tensors
from zoo.weights.record import recorded_if_usable, verified
from zoo.weights.source import WeightsSource, check_tag
from zoo.weights.torch_hub import cached_checkpoint
from zoo.weights.unfilled import unfilled

__all__ = ["create", "examples", "takes_addresses", "weights_tags"]

takes_addresses = True


@recorded_if_usable()
def create(
    architecture: str, *, weights: str | None = "DEFAULT", image_size: PositiveInt | None = None
) -> ImageEncoder:
    """Any architecture of `torchvision.models.list_models(module=torchvision.models)`.

    Args:
        weights: a torchvision tag such as `IMAGENET1K_V2`, `DEFAULT`, the address of a state dict,
            with any classifier or none, or None for random ones.
        image_size: side of the input in pixels, where not the weights' own. A vision transformer
            is made for one size; its weights fit no other.

    Raises:
        UnknownNameError: torchvision has no such architecture, or it no such tag.
        WeightsError: the weights are neither cached nor to be had, or damaged.
    """
    tags = models.get_model_weights(_known(architecture))
    address = address_of(weights)
    if address is None:
        check_tag(weights, weights_tags(architecture), f"torchvision's {architecture}")
    entry = tags["DEFAULT" if weights is None or address is not None else weights]
    preprocess = _preprocess(entry.transforms(), image_size)
    options: dict[str, Any] = {}
    decided: dict[str, Any] = {}
    if architecture in ("googlenet", "inception_v3"):
        # They rescale their input for ImageNet weights; auxiliary classifiers come with those.
        options = {"transform_input": True, "aux_logits": weights is not None}
        options["init_weights"] = weights is None
    if architecture.startswith("vit_"):
        options = {"image_size": preprocess.crop[0]}
        decided = {"image_size": preprocess.crop[0]}
    source = None
    names: set[str] = set()
    if weights is None:
        backbone = models.get_model(architecture, weights=None, **options)
    else:
        if address is not None:
            path, source = fetched(address)
        else:
            path = cached_checkpoint(entry.url)
            sha256 = verified(path, entry.url)
            source = WeightsSource(entry.name, entry.url, path.name, sha256=sha256)
        with unfilled():
            backbone = models.get_model(architecture, weights=None, **options)
        names = set(backbone.state_dict())
        if address is None:
            _load(backbone, path)
    if hasattr(backbone, "aux_logits"):
        backbone.aux_logits = False
        for name in [
            name for name, _ in backbone.named_children() if name.lower().startswith("aux")
        ]:
            setattr(backbone, name, None)
    width = _drop_classifier(backbone)
    if address is not None:
        _load(backbone, path, names - backbone.state_dict().keys())
    return ImageEncoder(
        backbone,
        width,
        preprocess,
        source,
        decided,
        tokens_of=partial(_tokens, _last_map(backbone)),
        any_size=not architecture.startswith(("vit_", "maxvit")),
    )


def weights_tags(architecture: str) -> list[str]:
    """The tags that an architecture's weights can be asked for by.

    Raises:
        UnknownNameError: torchvision has no such architecture.
    """
    return list(models.get_model_weights(_known(architecture)).__members__)


def examples() -> list[str]:
    """A convolutional network, one with auxiliary classifiers, and a transformer, for the kit."""
    return ["torchvision/resnet18", "torchvision/googlenet", "torchvision/vit_b_32"]


def _known(architecture: str) -> str:
    known = models.list_models(module=models)
    if architecture not in known:
        raise UnknownNameError(
            f"torchvision has no architecture {architecture!r}.{suggestion(architecture, known)}"
        )
    return architecture


def _load(backbone: nn.Module, path: Path, but: Container[str] = ()) -> None:
    """As torchvision does: its modules know the names in their older checkpoints, DenseNet's apart."""
    tensors = read_tensors(path, mapped=False)
    if isinstance(backbone, models.DenseNet):
        old = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])")
        tensors = {old.sub(r"\1\2", name): tensor for name, tensor in tensors.items()}
    for name in [name for name in tensors if name in but]:
        del tensors[name]
    check_numbers(backbone, tensors, str(path))
    try:
        backbone.load_state_dict(own(tensors), assign=True)
    except (RuntimeError, ValueError):
        load_strictly(backbone, tensors, str(path))  # says what does not fit


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


_LAST_MAPS = (
    "layer4",  # ResNet
    "trunk_output",  # RegNet
    "conv5",  # ShuffleNet
    "inception5b",  # GoogLeNet
    "Mixed_7c",  # Inception
    "layers",  # MNASNet
    "blocks",  # MaxViT
    "permute",  # Swin
    "features",
)
"""The layer whose output an architecture pools; the first of them that it has."""


def _last_map(backbone: nn.Module) -> str:
    parts = dict(backbone.named_children())
    return next((name for name in _LAST_MAPS if name in parts), "encoder")


def _tokens(layer: str, backbone: Any, images: Tensor) -> Tensor:
    """What `layer` says, as `Float[B, places, channels]`, without the class token.

    The parts run one after another up to it. A hook on the layer would be shared by threads.
    """
    if isinstance(backbone, models.VisionTransformer):
        patches = backbone._process_input(images)
        class_token = backbone.class_token.expand(patches.shape[0], -1, -1)
        encoded: Tensor = backbone.encoder(torch.cat([class_token, patches], dim=1))
        return encoded[:, 1:]
    rescales = hasattr(backbone, "_transform_input")  # GoogLeNet, Inception
    features = backbone._transform_input(images) if rescales else images
    for name, part in backbone.named_children():
        for step in part if isinstance(part, nn.ModuleList) else [part]:
            features = step(features)
        if name == layer:
            break
    if isinstance(backbone, models.DenseNet):  # its last activation is no part of it
        features = features.relu()
    return features.flatten(2).transpose(1, 2)


def _preprocess(transforms: Any, image_size: int | None) -> Preprocess:
    crop = transforms.crop_size[0]
    resize = transforms.resize_size[0]
    if image_size is not None:
        resize, crop = round(resize * image_size / crop), image_size
    return Preprocess(
        resize=resize,
        crop=(crop, crop),
        interpolation=transforms.interpolation.value,
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
    )
