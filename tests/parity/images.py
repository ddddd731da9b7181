"""Image encoders beside torchvision's and timm's own networks, for the same files.

Each comparison writes seeded weights where the library looks for its own, has zoo load them by its
true way in, and has the library load them without zoo.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import timm
import torch
from parity.compared import Compared
from torch import Tensor
from torchvision import models

from standins import timm_repository, torchvision_checkpoint
from zoo.encoders import timm_image, torchvision_image

__all__ = ["RESAMPLED", "TIMM", "TORCHVISION", "timm_features", "torchvision_features"]

TORCHVISION = {
    "alexnet": ("classifier.6", 96),
    "convnext_tiny": ("classifier.2", 64),
    "densenet121": ("classifier", 64),
    "efficientnet_b0": ("classifier.1", 64),
    "efficientnet_v2_s": ("classifier.1", 64),
    "googlenet": ("fc", 96),
    "inception_v3": ("fc", 299),
    "maxvit_t": ("classifier.5", 224),
    "mnasnet0_5": ("classifier.1", 64),
    "mobilenet_v2": ("classifier.1", 64),
    "mobilenet_v3_small": ("classifier.3", 64),
    "regnet_x_400mf": ("fc", 64),
    "regnet_y_400mf": ("fc", 64),
    "resnet18": ("fc", 64),
    "resnext50_32x4d": ("fc", 64),
    "wide_resnet50_2": ("fc", 64),
    "shufflenet_v2_x0_5": ("fc", 64),
    "squeezenet1_1": ("classifier.1", 64),
    "swin_t": ("head", 64),
    "swin_v2_t": ("head", 64),
    "vgg11_bn": ("classifier.6", 64),
    "vit_b_32": ("heads.head", 224),
}
"""A representative of each family: its last layer, and a side in pixels that it takes."""


def torchvision_features(architecture: str) -> Compared:
    """Against what its own last layer is given. SqueezeNet's, a convolution, is given a map."""
    layer, side = TORCHVISION[architecture]
    torch.manual_seed(31)
    images = torch.randn(2, 3, side, side)
    checkpoints = Path(torch.hub.get_dir(), "checkpoints")
    tag = torchvision_checkpoint(architecture, images, checkpoints)
    try:
        whole = models.get_model(architecture, weights=tag).eval()
        encoder = torchvision_image.create(architecture, weights=tag).eval()
    finally:
        shutil.rmtree(checkpoints)
    assert encoder.weights_source is not None
    assert encoder.weights_source.tag == tag
    seen: list[Tensor] = []
    whole.get_submodule(layer).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        whole(images)
        ours = encoder(images)
    theirs = seen[0].mean((2, 3)) if architecture == "squeezenet1_1" else seen[0]
    return Compared(encoder, ours, theirs)


_CONVOLUTIONAL = """
    resnet10t seresnext26d_32x4d regnety_002 repvgg_a0 mobileone_s0 densenet121 dpn68 test_nfnet
    tf_efficientnet_lite0 tinynet_e mobilenetv3_small_050 mobilenetv4_conv_small ghostnet_100
    rexnet_100 lcnet_050 hgnetv2_b0 starnet_s1 convnext_atto convnextv2_atto inception_next_atto
    mambaout_femto
"""
_TRANSFORMERS = """
    vit_tiny_patch16_224 deit_tiny_distilled_patch16_224 test_vit3 vit_small_patch16_dinov3
    vit_base_patch32_siglip_256 cait_xxs24_224 xcit_nano_12_p16_224 pit_ti_224 crossvit_tiny_240
    swin_tiny_patch4_window7_224 hiera_tiny_224 pvt_v2_b0 davit_tiny resmlp_12_224
"""
_HYBRID = """
    levit_128s mobilevitv2_050 edgenext_xx_small fastvit_t8 efficientformer_l1 efficientvit_b0
    efficientvit_m0 poolformer_s12 coatnet_nano_rw_224 maxvit_rmlp_pico_rw_256 tiny_vit_5m_224
    repvit_m0_9 swiftformer_xs shvit_s1 botnet26t_256
"""
TIMM = {
    "convolutional": _CONVOLUTIONAL.split(),
    "transformer": _TRANSFORMERS.split(),
    "hybrid": _HYBRID.split(),
}
RESAMPLED = {"vit_tiny_patch16_224": 160, "swin_tiny_patch4_window7_224": 112}
"""Made for one size in pixels, and taken at another."""


def timm_features(name: str, side: int | None = None) -> Compared:
    """Against `forward_head(pre_logits=True)`; with `side`, from weights made for another size."""
    config = timm.get_pretrained_cfg(name)
    sides = config.input_size[1:] if config.fixed_input_size else (96, 96)
    torch.manual_seed(41)
    images = torch.randn(2, 3, *sides)
    folder = timm_repository(name, images, Path(os.environ["HF_HOME"], "hub"))
    try:
        encoder = timm_image.create(name, image_size=side).eval()
        options = {} if side is None else {"img_size": side}
        whole = timm.create_model(name, pretrained=True, **options).eval()
    finally:
        shutil.rmtree(folder)
    assert encoder.weights_source is not None
    assert encoder.weights_source.tag == config.tag
    if side is not None:
        assert encoder.preprocess.crop == (side, side)
        images = images[:, :, :side, :side]
    with torch.no_grad():
        theirs = whole.forward_head(whole.forward_features(images), pre_logits=True)
        return Compared(encoder, encoder(images), theirs)
