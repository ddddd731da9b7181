"""Folders of older versions: one of each is kept here, as the zoo of its time wrote it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import zoo
import zoo_tiny
from zoo.errors import FolderError
from zoo.folder import FORMAT_VERSION

HERE = Path(__file__).parent
OLD = [HERE / f"version-{number}" for number in range(1, FORMAT_VERSION + 1)]


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.name)
def test_each_version_loads(old, install):
    install("zoo-tiny", zoo_tiny.ENTRY_POINTS)
    model = zoo.load(old).eval()
    state = load_file(old / "model.safetensors")
    # Grey pictures and the text "ab", worked out from the file's tensors.
    pixels = torch.full((3,), 0.25)
    features = state["image.encoder.proj.weight"] @ pixels + state["image.encoder.proj.bias"]
    embed = state["image.head.proj.weight"] @ features
    images = model.encode_image(torch.full((1, 3, 8, 8), 0.25))
    torch.testing.assert_close(images[0], embed / embed.norm())
    text = (state["text.encoder.embed.weight"][1] + state["text.encoder.embed.weight"][2]) / 2
    torch.testing.assert_close(model.embed_texts("ab")[0], text / text.norm())
    assert model.loss.logit_scale.item() == 3.0
    assert model.image_encoder.encoder.preprocess.crop == (8, 8)
    assert model.provenance["image.encoder"]["origin"]["name"] == "zoo-tiny"


def test_what_is_converted_is_saved_in_the_present_version(tmp_path, install):
    install("zoo-tiny", zoo_tiny.ENTRY_POINTS)
    folder = zoo.save(zoo.load(OLD[0]), tmp_path / "new")
    assert json.loads((folder / "zoo.json").read_text())["format_version"] == FORMAT_VERSION
    assert (folder / "text.encoder" / "letters.txt").is_file()


def test_an_older_version_is_checked_all_the_same(tmp_path, install):
    install("zoo-tiny", zoo_tiny.ENTRY_POINTS)
    folder = shutil.copytree(OLD[0], tmp_path / "old")
    (folder / "text.encoder").mkdir()
    (folder / "text.encoder" / "letters.txt").write_text("abc")
    with pytest.raises(FolderError, match=r"letters.txt: was not saved with the model"):
        zoo.load(folder)
