"""A folder from elsewhere reads nothing outside itself, and takes no more than it holds."""

import hashlib
import json
import shutil
import time

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

import zoo
from zoo.errors import FolderError, WeightsError, ZooError


def bert(folder):
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxy"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def text(encoder, **overrides):
    overrides = {"text.encoder": encoder, "text.head": "linear", "text.train": "head"} | overrides
    return zoo.build("resnet50-clip", towers=["text"], overrides=overrides)


def edit(folder, change):
    path = folder / "zoo.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def edit_config(folder, **changes):
    path = folder / "text.encoder" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    edit(folder, lambda said: said["files"].update({"text.encoder/config.json": sha256}))


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """A repository in a hub cache of its own."""
    from huggingface_hub import constants

    hub = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    root = hub / "models--me--bert"
    snapshot = bert(root / "snapshots" / ("b" * 40))
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("b" * 40)
    return snapshot


def test_a_frozen_encoder_of_a_local_folder_is_stored_whole(tmp_path, monkeypatch):
    bert(tmp_path / "bert")
    monkeypatch.chdir(tmp_path)
    model = text("hf/bert")
    folder = zoo.save(model, tmp_path / "model")
    assert json.loads((folder / "zoo.json").read_text())["parts"]["text.encoder"]["stored"]
    before = model.embed_texts(["a b"])
    shutil.rmtree(tmp_path / "bert")
    assert torch.equal(zoo.load(folder).embed_texts(["a b"]), before)


def test_a_config_that_changed_in_the_cache_changes_no_loaded_model(cached, tmp_path):
    model = text({"name": "hf/me/bert", "args": {"pooling": "mean"}})
    folder = zoo.save(model, tmp_path / "model")
    assert not json.loads((folder / "zoo.json").read_text())["parts"]["text.encoder"]["stored"]
    before = model.embed_texts(["a b"])
    said = json.loads((cached / "config.json").read_text())
    (cached / "config.json").write_text(json.dumps({**said, "hidden_act": "relu"}))
    assert torch.equal(zoo.load(folder).embed_texts(["a b"]), before)


def test_weights_that_were_exchanged_are_stored(cached, tmp_path):
    """Their sums are what they were."""
    model = text({"name": "hf/me/bert", "args": {"pooling": "mean"}})
    with torch.no_grad():
        weight = model.text_encoder.encoder.backbone.encoder.layer[0].output.dense.weight
        weight.copy_(weight.clone().T)
    folder = zoo.save(model, tmp_path / "model")
    assert json.loads((folder / "zoo.json").read_text())["parts"]["text.encoder"]["stored"]
    assert torch.equal(zoo.load(folder).embed_texts(["a b"]), model.embed_texts(["a b"]))


@pytest.mark.parametrize("weights", ["file:/etc/weights.pth", "file:weights.safetensors"])
def test_weights_outside_the_folder(tmp_path, weights):
    folder = zoo.save(text(f"hf/{bert(tmp_path / 'bert')}"), tmp_path / "model")

    def away(manifest):
        manifest["parts"]["text.encoder"]["stored"] = False
        manifest["spec"]["text"]["weights"] = weights

    edit(folder, away)
    with pytest.raises(FolderError, match=r"text.weights: 'file:.* is outside the folder; nothing"):
        zoo.load(folder)


def test_an_encoder_outside_the_folder(tmp_path):
    folder = zoo.save(text(f"hf/{bert(tmp_path / 'bert')}"), tmp_path / "model")
    edit(folder, lambda manifest: manifest["parts"]["text.encoder"].update(stored=False))
    with pytest.raises(FolderError, match=r"text.encoder: 'hf/.*bert' is a folder outside this"):
        zoo.load(folder)
    edit(folder, lambda manifest: manifest["parts"]["text.encoder"].update(stored=True))
    edit(folder, lambda manifest: manifest.update(files={}))
    shutil.rmtree(folder / "text.encoder")
    with pytest.raises(FolderError, match=r"text.encoder: 'hf/.*bert' is a folder outside this"):
        zoo.load(folder)


@pytest.mark.parametrize(
    "claim",
    [
        {"vocab_size": 80_000_000},
        {"max_position_embeddings": 2_000_000_000},
        {"num_hidden_layers": 1_000_000},
        {"intermediate_size": 500_000_000},
    ],
    ids=str,
)
def test_a_config_that_claims_far_more_than_is_stored(tmp_path, claim):
    import resource

    folder = zoo.save(text(f"hf/{bert(tmp_path / 'bert')}"), tmp_path / "model")
    edit_config(folder, **claim)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    with pytest.raises(ZooError):
        zoo.load(folder)
    assert time.monotonic() - start < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB on Linux


def test_a_config_that_claims_a_little_more(tmp_path):
    folder = zoo.save(text(f"hf/{bert(tmp_path / 'bert')}"), tmp_path / "model")
    edit_config(folder, vocab_size=31)
    with pytest.raises(WeightsError, match=r"has shape \(30, 32\), and the model's has \(31, 32\)"):
        zoo.load(folder)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"origin": ["x"]}, r"provenance.*origin: Input should be a valid dictionary"),
        ({"origin": {"layer": "plugin"}}, r"provenance.*origin.name: Field required"),
        ({}, r"provenance.*origin: Field required"),
        (
            {"origin": {"layer": "plugin", "name": "a --index-url=http://evil", "version": "1"}},
            r"'a --index-url=http://evil' is no name of a distribution",
        ),
        (
            {"origin": {"layer": "plugin", "name": "-r x", "version": "1"}},
            r"'-r x' is no name of a distribution",
        ),
    ],
)
def test_provenance_of_another_shape(tmp_path, entry, said):
    folder = zoo.save(text(f"hf/{bert(tmp_path / 'bert')}"), tmp_path / "model")
    edit(folder, lambda manifest: manifest["provenance"].update({"text.head": entry}))
    with pytest.raises(FolderError, match=said):
        zoo.load(folder)
