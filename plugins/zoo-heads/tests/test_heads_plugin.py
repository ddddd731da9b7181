"""zoo-heads: the contract, the formulas, and a head that asks the encoder for its feature map."""

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import zoo
from zoo.data.pairs import Pair
from zoo.errors import ArgumentError, SpecError
from zoo.registry import catalog
from zoo_heads.attention_pool import AttentionPoolHead
from zoo_heads.bottleneck import BottleneckHead

SMALL = {"image.encoder": "timm/resnet10t", "image.head": "attention-pool", "embedding_dim": 16}


@pytest.mark.zoo_plugin("zoo-heads")
def test_conformance(zoo_check):
    zoo_check()


@pytest.fixture
def _with_plugin(monkeypatch):
    monkeypatch.setenv("ZOO_PLUGINS", "zoo-heads")
    catalog.cache_clear()


def build(**overrides):
    return zoo.build(
        "resnet50-clip", pretrained=False, overrides={**SMALL, **overrides}, towers=["image"]
    )


def test_attention_against_the_formula():
    head = AttentionPoolHead(in_dim=6, out_dim=8, num_heads=2).eval()
    tokens = torch.randn(3, 5, 6)
    places = F.layer_norm(head.proj(tokens), (8,), head.norm.weight, head.norm.bias)
    wq, wk, wv = head.attention.in_proj_weight.chunk(3)
    bq, bk, bv = head.attention.in_proj_bias.chunk(3)
    rows = []
    for picture in places:
        query, keys, values = head.query[0, 0] @ wq.T + bq, picture @ wk.T + bk, picture @ wv.T + bv
        parts = []
        for half in (slice(0, 4), slice(4, 8)):
            weights = torch.softmax(keys[:, half] @ query[half] / 2, dim=0)
            parts.append((weights[:, None] * values[:, half]).sum(0))
        rows.append(head.attention.out_proj(torch.cat(parts)))
    pooled = torch.stack(rows)
    torch.testing.assert_close(head(tokens), pooled + head.mlp(pooled), atol=1e-5, rtol=1e-5)


def test_the_order_of_places_does_not_matter():
    head = AttentionPoolHead(in_dim=6, out_dim=8).eval()
    tokens = torch.randn(2, 7, 6)
    torch.testing.assert_close(head(tokens), head(tokens.flip(1)), atol=1e-5, rtol=1e-5)


def test_heads_must_divide_the_dimensions():
    with pytest.raises(ArgumentError, match=r"splits 10 dimensions among num_heads = 8, which"):
        AttentionPoolHead(in_dim=6, out_dim=10)


def test_bottleneck_is_small():
    head = BottleneckHead(in_dim=64, out_dim=32)
    assert sum(each.numel() for each in head.parameters()) == 2 * 64 + 65 * 8 + 9 * 32


@pytest.mark.usefixtures("_with_plugin")
def test_the_head_gets_the_feature_map():
    model = build().eval()
    assert model.image_encoder.head.proj.in_features == 512
    images = torch.randn(2, 3, 64, 96)
    features = model.image_encoder.features(images)
    assert features.shape == (2, 2 * 3, 512)  # a thirty-second of each side
    pooled = model.image_encoder.encoder(images)
    torch.testing.assert_close(features.mean(1), pooled, atol=1e-5, rtol=1e-5)
    assert model.encode_image(images).shape == (2, 16)


@pytest.mark.usefixtures("_with_plugin")
def test_transformers_give_their_patches():
    model = build(**{"image.encoder": "timm/vit_tiny_patch16_224"})
    assert model.image_encoder.features(torch.randn(1, 3, 224, 224)).shape == (1, 14 * 14, 192)


@pytest.mark.usefixtures("_with_plugin")
def test_a_text_encoder_has_no_places():
    overrides = {**SMALL, "image.head": "linear", "text.head": "attention-pool"}
    with pytest.raises(
        SpecError,
        match=r"the head 'attention-pool' takes features before pooling, and HFTextEncoder",
    ):
        zoo.build("resnet50-clip", pretrained=False, overrides=overrides, towers=["text"])


@pytest.mark.usefixtures("_with_plugin")
def test_an_encoder_without_a_single_map_is_refused():
    with pytest.raises(
        SpecError,
        match=r"'attention-pool' takes features before pooling, and timm's CrossVit has no single map",
    ):
        build(**{"image.encoder": "timm/crossvit_tiny_240"})


@pytest.mark.usefixtures("_with_plugin")
def test_cached_features_are_those_that_the_head_takes(tmp_path, monkeypatch):
    from zoo.training.features import image_features

    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    pictures = []
    for number in range(3):
        pictures.append(tmp_path / f"{number}.png")
        Image.new("RGB", (40, 40), (80 * number, 0, 99)).save(pictures[-1])
    pairs = [Pair(each, ("a square",), each.stem) for each in pictures]
    torch.manual_seed(0)
    pooled = build(**{"image.head": "linear", "image.train": "head"})
    torch.manual_seed(0)
    tokens = build(**{"image.train": "head"})
    paths = [pair.picture for pair in pairs]
    assert image_features(pooled, paths, precision="fp32").shape == (3, 512)
    rows = image_features(tokens, paths, precision="fp32")
    assert rows.shape == (3, 36, 512)
    model = tokens.eval()
    direct = model.image_encoder.features(torch.stack([model.preprocess(each) for each in paths]))
    torch.testing.assert_close(rows.tensor(), direct, atol=1e-4, rtol=1e-4)
