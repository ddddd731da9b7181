"""Numbers equal to open_clip's own: features, ids and pixels, with the same weights."""

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from PIL import Image

from zoo_openclip import configs, image, text

TEXTS = ["a cat", "", "the small red dog, ate by a pizza 🐶!", "a photo of a word " * 40]
SIMPLE = [
    "ViT-S-32-alt",
    "RN50-quickgelu",
    "convnext_tiny",
    "ViTamin-S",
    "MobileCLIP2-S0",
    "PE-Core-T-16-384",
]
SMALL = ["ViT-B-16-SigLIP", "ViT-L-14-CLIPA", "ViT-H-14-worldwide", "coca_ViT-B-32"]


def _same(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def _pictures(size):
    generator = torch.Generator().manual_seed(7)
    sides = (size, size) if isinstance(size, int) else size
    return torch.randn(2, 3, *sides, generator=generator)


@torch.no_grad()
def _compare(theirs, their_ids, image_encoder, text_encoder):
    theirs.eval()
    pixels = _pictures(theirs.visual.image_size)
    _same(image_encoder.eval()(pixels), theirs.encode_image(pixels, normalize=False))
    batch = text_encoder.tokenizer(TEXTS)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    assert ids.dtype == mask.dtype == torch.int64
    assert ids.shape[1] <= text_encoder.context_length == their_ids.shape[1]
    features = text_encoder.eval()(ids, mask)
    expected = theirs.encode_text(their_ids, normalize=False)
    _same(features, expected)
    assert features.shape == (4, text_encoder.out_dim)
    short = text_encoder.tokenizer(TEXTS[:2])
    _same(text_encoder(**short), expected[:2])
    spoilt = torch.where(mask.bool(), ids, 30)
    _same(text_encoder(spoilt, mask), features)
    _same(text_encoder(*_trimmed(their_ids, text_encoder.tokenizer.pad_id)), expected)
    shown = torch.where(mask.bool(), ids, their_ids[:, : ids.shape[1]])
    assert torch.equal(shown, their_ids[:, : ids.shape[1]])


def _trimmed(their_ids, pad):
    """Somebody else's batch: no longer than its longest text, and something odd under the mask."""
    mask = their_ids != pad
    length = int(mask.nonzero()[:, 1].max()) + 1
    return torch.where(mask, their_ids, 30)[:, :length], mask.long()[:, :length]


@pytest.mark.long
@pytest.mark.usefixtures("checkpoints")
@pytest.mark.parametrize(
    ("name", "tag", "right"),
    [
        ("ViT-B-32", "openai", "ViT-B-32-quickgelu"),
        ("ViT-B-32-quickgelu", "openai", "ViT-B-32-quickgelu"),
        ("ViT-B-32", "laion2b_s34b_b79k", "ViT-B-32"),
        ("RN50", "openai", "RN50-quickgelu"),
        ("MobileCLIP-S1", "datacompdr", "MobileCLIP-S1"),
    ],
)
def test_a_tag(name, tag, right):
    """`right` is the config that open_clip itself wants for the tag: its activation, no warning."""
    theirs, _, transform = open_clip.create_model_and_transforms(
        right, pretrained="laion2b_s34b_b79k" if "laion" in tag else tag
    )
    images, texts = image.create(name, weights=tag), text.create(name, weights=tag)
    _compare(theirs, open_clip.get_tokenizer(right)(TEXTS), images, texts)
    for sides in ((301, 260), (200, 333)):
        picture = _noise(sides)
        assert torch.equal(images.preprocess(picture), transform(picture))


@pytest.mark.long
@pytest.mark.usefixtures("checkpoints")
def test_the_wrong_activation_would_show():
    pixels = _pictures(224)
    with torch.no_grad():
        quick = image.create("ViT-B-32", weights="openai").eval()(pixels)
        plain = image.create("ViT-B-32", weights="laion2b_s34b_b79k").eval()(pixels)
    assert (quick - plain).abs().max() > 1e-3  # the two tags' stand-ins have the same weights


@pytest.mark.long
@pytest.mark.parametrize("name", SIMPLE)
def test_a_family_with_random_weights(name):
    _compare_random(name)


@pytest.mark.usefixtures("small_configs", "tokenizers_in_hub")
@pytest.mark.parametrize("name", [f"small-{name}" for name in SMALL])
def test_a_large_family_made_small(name):
    _compare_random(name)


@pytest.mark.usefixtures("tokenizers_in_hub")
def test_a_text_tower_of_transformers():
    _compare_random("roberta-ViT-B-32")


def _compare_random(name):
    torch.manual_seed(3)
    theirs = open_clip.create_model(
        name, load_weights=False, pretrained_text=False, force_custom_text=True
    )
    images, texts = image.create(name, weights=None), text.create(name, weights=None)
    images.tower.load_state_dict(theirs.visual.state_dict())
    texts.tower.load_state_dict(theirs.text.state_dict())
    _compare(theirs, open_clip.get_tokenizer(name)(TEXTS), images, texts)


def _noise(sides):
    generator = np.random.default_rng(5)
    return Image.fromarray(generator.integers(0, 256, (*sides, 3), dtype=np.uint8))


def _kinds_of_preprocessing():
    """One tag for every way in which open_clip prepares pictures."""
    kinds = {}
    for name, tag in open_clip.list_pretrained():
        size = open_clip.get_model_config(name)["vision_cfg"].get("image_size", 224)
        said = merge_preprocess_dict(PreprocessCfg(), open_clip.get_pretrained_cfg(name, tag))
        kinds.setdefault(repr(said | {"size": size}), (name, tag, size))
    return list(kinds.values())


@pytest.mark.parametrize(("name", "tag", "size"), _kinds_of_preprocessing())
def test_pixels(name, tag, size):
    said = merge_preprocess_dict(PreprocessCfg(), open_clip.get_pretrained_cfg(name, tag))
    transform = image_transform_v2(PreprocessCfg(**said | {"size": size}), is_train=False)
    ours = configs.preprocess_of(name, tag, size)
    for sides in ((97, 340), (360, 201)):
        picture = _noise(sides)
        assert torch.equal(ours(picture), transform(picture))
