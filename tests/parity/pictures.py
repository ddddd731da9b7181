"""Preprocessing by zoo beside torchvision's and timm's own transforms, for all weights they have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import timm
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import models

from zoo.encoders import timm_image, torchvision_image
from zoo.encoders.preprocess import Preprocess

__all__ = ["PICTURES", "Way", "network_of", "timm_ways", "torchvision_ways"]


class Way(NamedTuple):
    """A way of preprocessing, and weights that have it."""

    name: str
    ours: Preprocess
    theirs: Callable[[Image.Image], Tensor]

    def pixels(self) -> Iterator[tuple[Tensor, Tensor]]:
        for picture in PICTURES:
            yield self.ours(picture), self.theirs(picture)


def _picture(width: int, height: int) -> Image.Image:
    """Smooth, with noise: an interpolation that differs a little shows."""
    generator = torch.Generator().manual_seed(width)
    slope = torch.linspace(0, 200, height)[:, None, None] + torch.zeros(height, width, 3)
    noise = torch.rand(height, width, 3, generator=generator) * 55
    return Image.fromarray((slope + noise).to(torch.uint8).numpy())


PICTURES = [_picture(*size) for size in [(301, 200), (120, 200), (3, 2)]]


def torchvision_ways() -> Iterator[Way]:
    seen = set()
    for architecture in models.list_models(module=models):
        for weights in models.get_model_weights(architecture):
            theirs = weights.transforms()
            if repr(theirs) not in seen:
                seen.add(repr(theirs))
                ours = torchvision_image._preprocess(theirs, None)
                yield Way(str(weights), ours, theirs)


def timm_ways() -> Iterator[Way]:
    """All but those with crop mode `border`, which zoo refuses."""
    seen = set()
    for name in timm.list_pretrained():
        config = timm.get_pretrained_cfg(name).to_dict()
        data = timm.data.resolve_data_config({}, pretrained_cfg=config)
        if repr(data) not in seen and data["crop_mode"] != "border":
            seen.add(repr(data))
            ours = timm_image.preprocess_of(network_of(name))
            yield Way(name, ours, timm.data.create_transform(**data))


def network_of(name: str) -> Any:
    """What timm reads its preprocessing off, without the layers."""
    network: Any = nn.Module()
    network.pretrained_cfg = timm.get_pretrained_cfg(name).to_dict()
    return network
