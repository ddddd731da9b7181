"""Weights by address: `hf://`, `file:` and `https:`, for each family of encoders."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision import models

import zoo
from zoo.encoders import hf_text, timm_image, torchvision_image
from zoo.errors import UnknownNameError, WeightsError
from zoo.weights.address import Address, address_of, downloads_folder, fetched
from zoo.weights.read import sha256_of
from zoo.weights.source import check_tag

DIGITS = "0123456789abcdef" * 4
URL = "https://example.org/weights/resnet18.pth"
IMAGES = torch.rand(2, 3, 64, 64)


@pytest.mark.parametrize(
    ("weights", "address"),
    [
        ("IMAGENET1K_V2", None),
        (None, None),
        ("file:weights/mine.pth", Address("file", "weights/mine.pth")),
        ("file:///home/me/a%20b.pth", Address("file", "/home/me/a b.pth")),
        ("hf://timm/resnet18.a1_in1k", Address("hf", "timm/resnet18.a1_in1k")),
        ("hf://me/mine@v1.0", Address("hf", "me/mine", "v1.0")),
        (f"{URL}#sha256={DIGITS.upper()}", Address("https", URL, sha256=DIGITS)),
    ],
)
def test_addresses(weights, address):
    assert address_of(weights) == address


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (URL, "write https://host/file#sha256=…, with all 64 digits"),
        (f"{URL}#sha256=0123", "write .* with all 64 digits"),
        (f"http://example.org/a.pth#sha256={DIGITS}", "write https://host/file"),
        (f"https://[/a.pth#sha256={DIGITS}", "write https://host/file"),
        ("hf://mine", "write hf://owner/name or hf://owner/name@revision"),
        ("hf://me/../mine", "write hf://owner/name"),
        ("hf://../..", "write hf://owner/name"),
        ("hf://me/a--b", "write hf://owner/name"),
        ("hf://me/mine.git", "write hf://owner/name"),
        ("file:", "write file:PATH"),
    ],
)
def test_what_is_no_address_is_refused_before_anything_is_built(weights, said):
    where = r"image.weights \(.*\): weights "
    with pytest.raises(WeightsError, match=f"{where}{re.escape(repr(weights))}: {said}"):
        zoo.build("resnet50-clip", overrides={"image.weights": weights})


def test_a_file_is_said_so_that_it_can_be_read_again(tmp_path):
    (tmp_path / "50% of #1 ä.pth").touch()
    for place in ("50%25 of #1 ä.pth", "50% of #1 ä.pth"):
        path, source = fetched(address_of(f"file:{place}"))
        assert fetched(address_of(source.tag))[0] == path
    (tmp_path / "a%20b.pth").touch()
    path, source = fetched(address_of("file:a%2520b.pth"))
    assert source.tag == f"file:{tmp_path}/a%2520b.pth"
    assert fetched(address_of(source.tag))[0] == path == tmp_path / "a%20b.pth"


def test_an_encoder_that_takes_tags_only():
    with pytest.raises(UnknownNameError, match=r"mine has no weights 'file:x.pth'; it has tiny"):
        check_tag("file:x.pth", ["tiny"], "mine")


@pytest.fixture
def resnet(tmp_path):
    """A ResNet18 that somebody trained for seven classes, as a file."""
    torch.manual_seed(18)
    model = models.resnet18(num_classes=7).eval()
    torch.save(model.state_dict(), tmp_path / "mine.pth")
    return model


def test_a_file_for_torchvision(resnet, tmp_path):
    encoder = torchvision_image.create("resnet18", weights="file:mine.pth").eval()
    with torch.no_grad():
        assert torch.equal(resnet.fc(encoder(IMAGES)), resnet(IMAGES))
    assert encoder.weights_source.tag == f"file:{tmp_path}/mine.pth"
    with pytest.raises(WeightsError, match=r"other.pth: there is no such weights file"):
        torchvision_image.create("resnet18", weights="file:other.pth")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"conv1.weight": None}, "missing conv1.weight$"),
        ({"conv9.weight": torch.ones(1)}, "unexpected conv9.weight$"),
        ({"conv1.weight": torch.ones(1)}, r"conv1.weight has shape \(1,\), and the model's has"),
    ],
)
@pytest.mark.parametrize("family", ["torchvision", "timm"])
def test_state_dicts_that_do_not_fit(resnet, tmp_path, change, said, family):
    create = {"torchvision": torchvision_image.create, "timm": timm_image.create}[family]
    state = {**resnet.state_dict(), **change}
    torch.save({name: tensor for name, tensor in state.items() if tensor is not None}, "mine.pth")
    with pytest.raises(WeightsError, match=rf"mine.pth: the weights do not fit the model: {said}"):
        create("resnet18", weights="file:mine.pth")


def in_hub_cache(repository, files):
    folder = Path(os.environ["HF_HOME"], "hub", f"models--{repository.replace('/', '--')}")
    snapshot = folder / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0123abcd")
    for name, write in files.items():
        write(snapshot / name)
    return folder


@pytest.fixture
def in_hub():
    """`me/tuned`: a small ResNet of timm with two classes and preprocessing of its own."""
    torch.manual_seed(2)
    model = timm.create_model("test_resnet", num_classes=2).eval()
    seen = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "input_size": [3, 96, 96]}
    config = {"architecture": "test_resnet", "num_classes": 2, "pretrained_cfg": seen}
    folder = in_hub_cache(
        "me/tuned",
        {
            "model.safetensors": lambda path: save_file(model.state_dict(), path),
            "config.json": lambda path: path.write_text(json.dumps(config)),
        },
    )
    yield model
    shutil.rmtree(folder)


def test_a_repository_for_timm(in_hub):
    encoder = timm_image.create("test_resnet", weights="hf://me/tuned").eval()
    with torch.no_grad():
        assert torch.equal(in_hub.get_classifier()(encoder(IMAGES)), in_hub(IMAGES))
    assert encoder.preprocess.mean == (0.5, 0.5, 0.5)
    assert encoder.preprocess.crop == (96, 96)
    assert encoder.weights_source.tag == "hf://me/tuned@0123abcd"
    again = timm_image.create("test_resnet", weights="hf://me/tuned@0123abcd", image_size=64)
    assert again.preprocess.crop == (64, 64)
    with pytest.raises(WeightsError, match=r"has weights of timm's 'test_resnet', not of 'test_vi"):
        timm_image.create("test_vit", weights="hf://me/tuned")
    with pytest.raises(
        WeightsError, match=r"of 'me/other' is not cached and cannot be .*: hf download me/other"
    ):
        timm_image.create("test_resnet", weights="hf://me/other@main")


def test_a_url_is_read_from_the_cache_and_verified(resnet, tmp_path):
    sha256 = sha256_of(tmp_path / "mine.pth")
    place = downloads_folder() / f"{sha256[:16]}-resnet18.pth"
    shutil.copy("mine.pth", place)
    weights = f"{URL}#sha256={sha256}"
    encoder = torchvision_image.create("resnet18", weights=weights)
    assert encoder.weights_source.tag == weights
    assert torch.equal(encoder.backbone.conv1.weight, resnet.conv1.weight)
    place.write_bytes(b"something else")
    with pytest.raises(WeightsError, match=rf"{place}: not the file of {URL} that was there when"):
        fetched(address_of(weights))
    shutil.rmtree(os.environ["ZOO_DATA"])
    with pytest.raises(WeightsError, match=rf"{place}: not the file meant by {URL}"):
        fetched(address_of(weights))
    place.unlink()
    with pytest.raises(WeightsError, match=rf"{URL} cannot be fetched: HF_HUB_OFFLINE is set"):
        fetched(address_of(weights))


def test_a_saved_model_holds_what_only_this_machine_has(resnet, tmp_path):
    spec = {"image.encoder": "torchvision/resnet18", "image.weights": "file:mine.pth"}
    tower = {"image.train": "frozen", "embedding_dim": 16, "image.head": "linear"}
    model = zoo.build("resnet50-clip", towers="image", overrides=spec | tower).eval()
    folder = zoo.save(model, tmp_path / "saved")
    (tmp_path / "mine.pth").unlink()
    again = zoo.load(folder).eval()
    assert torch.equal(again.encode_image(IMAGES), model.encode_image(IMAGES))
    assert model.spec.image.weights == f"file:{tmp_path}/mine.pth"


def test_a_saved_model_refers_to_a_repository(in_hub, tmp_path):
    spec = {"image.encoder": "timm/test_resnet", "image.weights": "hf://me/tuned"}
    tower = {"image.train": "frozen", "embedding_dim": 16, "image.head": "linear"}
    model = zoo.build("resnet50-clip", towers="image", overrides=spec | tower).eval()
    assert model.spec.image.weights == "hf://me/tuned@0123abcd"
    folder = zoo.save(model, tmp_path / "saved")
    assert (
        json.loads((folder / "zoo.json").read_text())["parts"]["image.encoder"]["stored"] is False
    )
    again = zoo.load(folder).eval()
    assert torch.equal(again.encode_image(IMAGES), model.encode_image(IMAGES))


@pytest.fixture
def minilm(minilm_in_hub_cache):
    from transformers import BertModel

    torch.manual_seed(9)
    model = BertModel.from_pretrained(minilm_in_hub_cache)
    torch.nn.init.normal_(model.embeddings.word_embeddings.weight)
    return model.eval()


def test_a_file_for_a_text_encoder(minilm):
    name = "sentence-transformers/all-MiniLM-L6-v2"
    state = minilm.state_dict()
    torch.save(state, "tuned.bin")
    encoder = hf_text.create(name, weights="file:tuned.bin").eval()
    tokens = encoder.tokenizer(["a cat"])
    with torch.no_grad():
        hidden = minilm(**tokens).last_hidden_state
        torch.testing.assert_close(encoder(**tokens), hidden.mean(1))
    assert encoder.weights_source.file == "tuned.bin"
    save_file(
        {key: value for key, value in state.items() if "layer.3." not in key}, "less.safetensors"
    )
    with pytest.raises(
        WeightsError, match=r"less.safetensors: the weights do not fit the model: 16 tensors are"
    ):
        hf_text.create(name, weights="file:less.safetensors")
    with pytest.raises(zoo.ZooError, match="has the weights 'default' or none, not 'mine'"):
        hf_text.create(name, weights="mine")


@pytest.mark.long
def test_a_whole_clip_for_its_text_half(clip_in_hub_cache):
    from zoo.encoders import clip_text

    file = clip_in_hub_cache / "pytorch_model.bin"
    encoder = clip_text.create(weights=f"file:{file}")
    usual = clip_text.create()
    for (name, one), (_, other) in zip(
        encoder.state_dict().items(), usual.state_dict().items(), strict=True
    ):
        assert torch.equal(one, other), name
    assert encoder.backbone.text_model.embeddings.position_ids.tolist() == [list(range(77))]
