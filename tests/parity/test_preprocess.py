"""Preprocessing is timm's and torchvision's own, pixel for pixel, for all weights that they have."""

import pytest
import torch
from parity.pictures import network_of, timm_ways, torchvision_ways

from zoo.encoders import timm_image
from zoo.errors import UnknownNameError


@pytest.mark.long
@pytest.mark.parametrize(("ways", "at_least"), [(torchvision_ways, 25), (timm_ways, 100)])
def test_pixels(ways, at_least):
    found = list(ways())
    assert len(found) >= at_least
    for way in found:
        for ours, theirs in way.pixels():
            assert theirs.dtype == torch.float32
            assert torch.equal(ours, theirs), way.name


def test_what_cannot_be_the_same_is_refused():
    network = network_of("resnet18.a1_in1k")
    network.pretrained_cfg["crop_mode"] = "border"
    with pytest.raises(UnknownNameError, match="crop mode 'border' to 224x224 is not supported"):
        timm_image.preprocess_of(network)
    network.pretrained_cfg |= {"crop_mode": "center", "input_size": (3, 224, 192)}
    with pytest.raises(UnknownNameError, match="crop mode 'center' to 224x192 is not supported"):
        timm_image.preprocess_of(network)
    network.pretrained_cfg["crop_mode"] = "squash"
    assert timm_image.preprocess_of(network).crop == (224, 192)
