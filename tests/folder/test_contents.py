"""What a folder carries besides tensors: tokenizers, preprocessing, a card; and what it may not lead to."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import zoo
import zoo_tiny
from zoo.errors import FolderError, WeightsError
from zoo.weights.read import sha256_of

TEXTS = ["a cat", "ZOO!", ""]


@pytest.fixture
def tiny(install):
    install("zoo-tiny", zoo_tiny.ENTRY_POINTS)
    torch.manual_seed(1)
    return zoo.build(zoo_tiny.SPEC)


def entry(folder, **changes):
    path = folder / "zoo.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_an_encoder_finds_its_own_files_again(tiny, tmp_path):
    tiny.text_encoder.encoder.letters = "zyx"
    folder = zoo.save(tiny, tmp_path / "model")
    assert (folder / "text.encoder" / "letters.txt").read_text() == "zyx"
    again = zoo.load(folder)
    assert again.text_encoder.encoder.letters == "zyx"
    assert torch.equal(again.embed_texts(TEXTS), tiny.embed_texts(TEXTS))
    # And once more: what was loaded can be saved, with the first folder gone.
    shutil.rmtree(folder)
    assert zoo.load(zoo.save(again, tmp_path / "next")).text_encoder.encoder.letters == "zyx"


def test_the_manifest_says_what_wrote_it(tiny, tmp_path):
    folder = zoo.save(tiny, tmp_path / "model")
    said = json.loads((folder / "zoo.json").read_text())
    assert said["format_version"] == 2
    assert said["written_with"]["torch"] == version("torch")
    assert said["written_with"]["zoo-tiny"] == "1.0"
    assert said["files"] == {
        "text.encoder/letters.txt": sha256_of(folder / "text.encoder" / "letters.txt")
    }
    assert said["provenance"]["text.encoder"]["origin"]["version"] == "1.0"


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda file: file.unlink(), r"text.encoder/letters.txt is missing"),
        (lambda file: file.write_text("abc"), r"letters.txt: changed since it was saved: sha256"),
        (
            lambda file: (file.parent / "more.txt").write_text("x"),
            r"more.txt: was not saved with the model; take it away",
        ),
        (
            lambda file: (file.parent / "away").symlink_to("/"),
            r"away: was not saved with the model; take it away",
        ),
    ],
)
def test_other_small_files_than_were_saved(tiny, tmp_path, harm, said):
    folder = zoo.save(tiny, tmp_path / "model")
    harm(folder / "text.encoder" / "letters.txt")
    with pytest.raises(FolderError, match=said):
        zoo.load(folder)


@pytest.mark.parametrize(
    "name",
    [
        "../letters.txt", "text.encoder/../../letters.txt", "/etc/passwd", "text.encoder", "zoo.json",
        "text.encoder/",
        "text.encoder/.hidden", "text.encoder\\letters.txt", "loss/x", "", "text.encoder/a\n",
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere(tiny, tmp_path, name):
    folder = zoo.save(tiny, tmp_path / "model")
    (tmp_path / "letters.txt").write_text("secret")
    entry(folder, files={name: sha256_of(tmp_path / "letters.txt")})
    with pytest.raises(FolderError, match=r"is no name of an encoder's file; they are in image\."):
        zoo.load(folder)


@pytest.mark.parametrize(
    "name", ["zoo.json", "model.safetensors", "text.encoder", "text.encoder/letters.txt"]
)
def test_links_out_of_the_folder(tiny, tmp_path, name):
    folder = zoo.save(tiny, tmp_path / "model")
    shutil.move(folder / name, tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(
        FolderError, match=r"is a link out of the folder, to .*/elsewhere.*; nothing"
    ):
        zoo.load(folder)


def test_a_folder_may_itself_be_a_link(tiny, tmp_path):
    folder = zoo.save(tiny, tmp_path / "model")
    (tmp_path / "latest").symlink_to(folder)
    zoo.load(tmp_path / "latest")
    with torch.no_grad():
        tiny.image_encoder.head.proj.weight.zero_()
    zoo.save(tiny, tmp_path / "latest", overwrite=True)
    assert (tmp_path / "latest").is_symlink()
    assert zoo.load(folder).image_encoder.head.proj.weight.sum() == 0


def test_the_hubs_cache_is_links_and_loads(tiny, tmp_path):
    folder = zoo.save(tiny, tmp_path / "model")
    repository = tmp_path / "models--me--tiny"
    (repository / "blobs").mkdir(parents=True)
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        place = repository / "snapshots" / "abc" / file.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        blob = repository / "blobs" / sha256_of(file)
        shutil.copy(file, blob)
        place.symlink_to(os.path.relpath(blob, place.parent))
    zoo.load(repository / "snapshots" / "abc")


def test_a_factory_that_takes_no_files_gets_none(tiny, tmp_path, monkeypatch):
    """A plugin may take an encoder of zoo's, which writes files, and find its own elsewhere."""

    def write(folder: Path) -> None:
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr(tiny.image_encoder.encoder, "save_files", write, raising=False)
    folder = zoo.save(tiny, tmp_path / "model")
    assert (folder / "image.encoder" / "config.json").is_file()
    zoo.load(folder)


def test_an_encoder_that_writes_something_odd(tiny, tmp_path, monkeypatch):
    def write(folder: Path) -> None:
        (folder / "x").symlink_to("/etc/hostname")

    monkeypatch.setattr(tiny.text_encoder.encoder, "save_files", write)
    with pytest.raises(FolderError, match=r"wrote 'text.encoder/x', which is no plain file"):
        zoo.save(tiny, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_tokenizer_cannot_be_read_from_outside(tmp_path):
    from zoo.encoders.tokenizer import HFTokenizer

    home = tmp_path / "tokenizer"
    home.mkdir()
    (home / "tokenizer_config.json").write_text(
        '{"fast_tokenizer_files": ["../tokenizer.4.0.json"], "tokenizer_class": "BertTokenizer"}'
    )
    (tmp_path / "tokenizer.4.0.json").write_text("secret")
    with pytest.raises(WeightsError, match=r"names the file '../tokenizer.4.0.json', which is not"):
        HFTokenizer(lambda: home, 8)(["a"])


ALONE = """
import os, socket, sys
def refuse(*_): raise AssertionError("the network was asked")
socket.socket.connect = socket.getaddrinfo = refuse
import torch, zoo
model = zoo.load(sys.argv[1]).eval()
texts, images = model.embed_texts(["a cat", "dogs, plural"]), torch.ones(1, 3, 64, 64)
torch.save([texts, model.encode_image(images)], sys.argv[2])
"""


@pytest.mark.long
def test_self_contained(tmp_path, clip_in_hub_cache):
    """A frozen text tower with an origin: small by reference, or whole and sufficient in itself."""
    model = zoo.build(
        "resnet50-clip",
        overrides={
            "image.encoder": "timm/test_resnet",
            "image.weights": None,
            "image.head": "linear",
        },
    ).eval()
    small = zoo.save(model, tmp_path / "small")
    whole = zoo.save(model, tmp_path / "whole", self_contained=True)
    assert (small / "model.safetensors").stat().st_size < 4_000_000
    assert len(load_file(whole / "model.safetensors")) > 190
    environment = {**os.environ, "PYTHONPATH": str(Path(zoo.__file__).parent.parent)}
    environment |= {"HF_HOME": str(tmp_path / "no-cache"), "TORCH_HOME": str(tmp_path / "none")}
    environment |= {"HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", ALONE, whole, tmp_path / "out.pt"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    texts, images = torch.load(tmp_path / "out.pt")
    assert torch.equal(texts, model.embed_texts(["a cat", "dogs, plural"]))
    assert torch.equal(images, model.encode_image(torch.ones(1, 3, 64, 64)))
    # By reference, the tokenizer is in the folder all the same, and the weights are asked for.
    assert (small / "text.encoder" / "merges.txt").is_file()
    done = subprocess.run(
        [sys.executable, "-c", ALONE, small, tmp_path / "out.pt"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "'openai/clip-vit-base-patch32' cannot be loaded" in done.stderr


def test_self_contained_needs_the_tokenizer(tmp_path):
    """Random weights build without a tokenizer's files, so a whole folder cannot be made."""
    from zoo.encoders.clip_text import REPOSITORY

    hub = Path(os.environ["HF_HOME"], "hub", f"models--{REPOSITORY.replace('/', '--')}")
    aside = hub.with_name("aside")
    if hub.is_dir():
        hub.rename(aside)
    try:
        model = zoo.build(
            "resnet50-clip", pretrained=False, towers=["text"], overrides={"text.train": "full"}
        )
        with pytest.raises(
            WeightsError, match=r"text.encoder: its files are needed for a self-contained folder"
        ):
            zoo.save(model, tmp_path / "model", self_contained=True)
        assert not (tmp_path / "model").exists()
    finally:
        if aside.is_dir():
            aside.rename(hub)
