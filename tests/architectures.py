"""Encoders of many architectures with seeded random weights, and an input for each."""

from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

from standins import enliven
from zoo.clip import CLIPImageEncoder, CLIPTextEncoder
from zoo.encoders import timm_image, torchvision_image
from zoo.encoders.hf_text import HFTextEncoder
from zoo.encoders.tokenizer import HFTokenizer

IMAGE = {
    "torchvision/resnet50": (64, 16),
    "torchvision/convnext_tiny": (64, 18),
    "torchvision/swin_t": (64, 12),
    "torchvision/vit_b_32": (224, 12),
    "torchvision/efficientnet_b0": (64, 16),
    "torchvision/regnet_y_400mf": (64, 16),
    "torchvision/densenet121": (64, 58),
    "torchvision/inception_v3": (96, 11),
    "torchvision/vgg11_bn": (64, 10),
    "timm/resnet50d": (64, 16),
    "timm/convnext_atto": (64, 12),
    "timm/swin_tiny_patch4_window7_224": (224, 12),
    "timm/vit_tiny_patch16_224": (224, 12),
    "timm/efficientnet_b0": (64, 16),
    "timm/mobilenetv4_conv_small": (64, 12),
    "timm/regnety_002": (64, 13),
    "timm/mixer_s32_224": (224, 8),
    "timm/ghostnet_050": (64, 16),
}
"""Name: side of the picture in pixels, blocks as the paper counts them."""


def text_models():
    wide = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 99}
    bert = {**wide, "num_hidden_layers": 4, "max_position_embeddings": 24}
    narrow = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 4, "num_heads": 2}
    return {
        "CLIP": (
            transformers.CLIPTextModelWithProjection,
            transformers.CLIPTextConfig(**bert, projection_dim=16, eos_token_id=2),
        ),
        "SigLIP": (
            transformers.SiglipTextModel,
            transformers.SiglipTextConfig(**bert, projection_size=16),
        ),
        "BERT": (transformers.BertModel, transformers.BertConfig(**bert)),
        "RoBERTa": (transformers.RobertaModel, transformers.RobertaConfig(**bert)),
        "MPNet": (transformers.MPNetModel, transformers.MPNetConfig(**bert)),
        "ModernBERT": (
            transformers.ModernBertModel,
            transformers.ModernBertConfig(**bert, pad_token_id=0),
        ),
        "DistilBERT": (
            transformers.DistilBertModel,
            transformers.DistilBertConfig(
                vocab_size=99, dim=16, n_layers=4, n_heads=2, hidden_dim=32
            ),
        ),
        "GPT-2": (
            transformers.GPT2Model,
            transformers.GPT2Config(vocab_size=99, n_embd=16, n_layer=4, n_head=2, n_positions=24),
        ),
        "T5": (transformers.T5EncoderModel, transformers.T5Config(vocab_size=99, **narrow)),
    }


NAMES = [*IMAGE, *text_models(), "MiniLM"]
QUICK = {
    "torchvision/regnet_y_400mf",
    "torchvision/vit_b_32",
    "timm/convnext_atto",
    "timm/mobilenetv4_conv_small",
    "timm/vit_tiny_patch16_224",
    *text_models(),
}
"""What is tried each time; the rest is `long`."""
EACH = [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in NAMES]


def blocks_of(name):
    if name == "MiniLM":
        return 6
    return IMAGE[name][1] if name in IMAGE else 4


def encoder_of(name):
    """A fresh encoder, and inputs for two."""
    torch.manual_seed(0)
    library, _, architecture = name.partition("/")
    if architecture:
        make = {"torchvision": torchvision_image, "timm": timm_image}[library].create
        side = IMAGE[name][0]
        encoder, images = make(architecture, weights=None), torch.rand(2, 3, side, side)
        enliven(encoder, torch.rand(4, 3, side, side))
        return encoder.train(), (images,)
    ids = torch.randint(3, 99, (2, 8))
    return _text_encoder(name), (ids, torch.ones_like(ids))


def _text_encoder(name):
    if name == "MiniLM":
        model_class = transformers.BertModel
        config = transformers.BertConfig(
            hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
        )
    else:
        model_class, config = text_models()[name]
    options = {"add_pooling_layer": False} if name in _POOLERS else {}
    pooling = None if name in ("CLIP", "SigLIP") else "mean"
    tokenizer = HFTokenizer(lambda: Path(), 12)
    return HFTextEncoder(model_class(config, **options).float(), pooling, tokenizer, None)


_POOLERS = ("BERT", "MiniLM", "RoBERTa", "MPNet")


def tower_of(encoder, mode):
    tower = CLIPImageEncoder if hasattr(encoder, "preprocess") else CLIPTextEncoder
    torch.manual_seed(1)
    return tower(encoder, nn.Linear(encoder.out_dim, 8), mode)
