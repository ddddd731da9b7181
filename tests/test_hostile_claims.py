"""A few bytes in a small file that ask for all of the memory, or for hours: refused at once."""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from pathlib import Path

import pytest

import zoo
from hostile.repositories import bert, clip
from zoo.errors import WeightsError, ZooError
from zoo.weights.read import sha256_of

CLAIMS = [
    ("text", "vocab_size", 80_000_000),
    ("text", "num_hidden_layers", 1_000_000),
    ("text", "max_position_embeddings", 10**9),
    ("text", "hidden_size", 10**6),
    ("text", "intermediate_size", 10**9),
    ("image", "num_hidden_layers", 1_000_000),
    ("image", "image_size", 10**6),
    ("image", "hidden_size", 10**6),
    ("image", "projection_dim", 10**9),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Repositories of both towers, and a saved model of them."""
    home = tmp_path_factory.mktemp("claims")
    overrides = {
        "image.encoder": f"hf/{clip(home / 'image')}", "image.head": "linear",
        "text.encoder": f"hf/{bert(home / 'text')}", "text.head": "linear",
        "embedding_dim": 8,
    }  # fmt: skip
    zoo.save(zoo.build("resnet50-clip", overrides=overrides), home / "saved", self_contained=True)
    return home


@pytest.fixture
def home(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "home"))


def claim(path: Path, key: str, value: int) -> None:
    config = json.loads(path.read_text())
    config.get("vision_config", config)[key] = value
    path.write_text(json.dumps(config))


def refused_at_once(read) -> None:
    before, start = _peak(), time.perf_counter()
    with pytest.raises(ZooError) as refused:
        read()
    assert time.perf_counter() - start < 10
    assert _peak() - before < 1e9
    assert str(refused.value)


def _peak() -> int:
    """The most memory that this process has had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@pytest.mark.parametrize(("side", "key", "value"), CLAIMS)
def test_claims_of_a_saved_model(home, side, key, value):
    config, manifest = home / "saved" / f"{side}.encoder" / "config.json", home / "saved/zoo.json"
    claim(config, key, value)
    table = json.loads(manifest.read_text())
    table["files"][f"{side}.encoder/config.json"] = sha256_of(config)
    manifest.write_text(json.dumps(table))
    refused_at_once(lambda: zoo.load(home / "saved"))


@pytest.mark.parametrize(("side", "key", "value"), CLAIMS)
def test_claims_of_a_repository(home, side, key, value):
    claim(home / side / "config.json", key, value)
    overrides = {f"{side}.encoder": f"hf/{home / side}", f"{side}.head": "linear"}
    refused_at_once(lambda: zoo.build("resnet50-clip", towers=(side,), overrides=overrides))


def test_claims_of_preprocessing(home):
    path = home / "image" / "preprocessor_config.json"
    said = json.loads(path.read_text())
    path.write_text(json.dumps({**said, "crop_size": {"height": 10**6, "width": 10**6}}))
    refused_at_once(lambda: zoo.from_huggingface(home / "image"))


def test_a_tokenizer_of_another_model(home):
    path = home / "text" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "cls_token": "[MORE]"}))
    overrides = {"text.encoder": f"hf/{home / 'text'}", "text.head": "linear"}
    model = zoo.build("resnet50-clip", towers=("text",), overrides=overrides)
    with pytest.raises(WeightsError, match=r"gives the token 7, and the encoder knows 7"):
        model.embed_texts(["a cat"])
