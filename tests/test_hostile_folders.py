"""Folders of models from strangers: they name no code and no file elsewhere, and are not believed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo
from zoo.errors import FolderError, UnknownNameError, WeightsError, ZooError
from zoo.weights.read import sha256_of


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A saved model, of its image tower only."""
    model = zoo.build(
        "resnet50-clip",
        pretrained=False,
        towers=("image",),
        overrides={"image.encoder": "timm/test_resnet", "image.head": "linear", "embedding_dim": 8},
    )
    return zoo.save(model, tmp_path_factory.mktemp("hostile") / "model")


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    """A copy of it."""
    copy = tmp_path / "model"
    copy.mkdir()
    for file in whole.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def edit(folder: Path, change) -> None:
    path = folder / "zoo.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


CODE = "import pathlib\npathlib.Path('canary').touch()\ndef make(*args, **options): pass\n"


@pytest.mark.parametrize("name", ["evil:make", "evil", "evil.make", "os:system", "evil/make"])
@pytest.mark.parametrize("part", ["encoder", "head", "loss"])
def test_a_module_path_is_an_unknown_name(folder, monkeypatch, name, part):
    Path("evil.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    before = set(sys.modules)

    def name_it(manifest):
        ref = {"name": name, "args": {}}
        table = manifest["spec"] if part == "loss" else manifest["spec"]["image"]
        table[part] = ref

    edit(folder, name_it)
    with pytest.raises(UnknownNameError, match=rf"model: .*unknown .* '{name}'"):
        zoo.load(folder)
    assert not Path("canary").exists()
    assert "evil" not in sys.modules
    assert not [each for each in set(sys.modules) - before if each == "evil"]


@pytest.mark.parametrize("key", ["factory", "target", "use", "_target_", "module"])
def test_a_component_takes_no_key_that_names_code(folder, key):
    edit(folder, lambda manifest: manifest["spec"]["image"]["head"].update({key: "os:system"}))
    with pytest.raises(
        FolderError, match=rf"spec.image.head.{key}: Extra inputs are not permitted"
    ):
        zoo.load(folder)


@pytest.mark.parametrize("key", ["factory", "_target_", "trust_remote_code", "pretrained_cfg"])
def test_an_argument_that_names_code_is_refused(folder, key):
    args = {key: "os:system"}
    edit(folder, lambda manifest: manifest["spec"]["image"]["encoder"].update(args=args))
    with pytest.raises(ZooError, match=rf"image.encoder.args.{key} .* has no argument '{key}'"):
        zoo.load(folder)


@pytest.mark.parametrize(
    "name", ["timm/../../evil", "torchvision/../evil", "hf/../../evil", "../evil"]
)
def test_names_that_lead_elsewhere(folder, name):
    edit(folder, lambda manifest: manifest["spec"]["image"]["encoder"].update(name=name, args={}))
    with pytest.raises(
        (UnknownNameError, WeightsError, FolderError), match=r"evil|has no architecture"
    ):
        zoo.load(folder)


@pytest.mark.parametrize(
    "part", ["../image.head", "/image.head", "image.head/../../x", "image.head\0", "", "💥"]
)
def test_parts_that_lead_elsewhere(folder, part):
    def rename(manifest):
        manifest["parts"][part] = manifest["parts"].pop("image.head")

    edit(folder, rename)
    with pytest.raises(FolderError, match=r"says nothing of the part 'image.head'"):
        zoo.load(folder)


@pytest.mark.parametrize("name", ["zoo.json", "model.safetensors"])
def test_links_out_of_the_folder(folder, tmp_path, name):
    elsewhere = tmp_path / "secret"
    (folder / name).rename(elsewhere)
    (folder / name).symlink_to(elsewhere)
    with pytest.raises(FolderError, match=rf"{name}: is a link out of the folder, to .*/secret"):
        zoo.load(folder)
    (folder / name).unlink()
    (folder / name).symlink_to(folder / name)
    with pytest.raises(FolderError, match=f"{name}|no saved model"):
        zoo.load(folder)


def test_a_link_to_the_folder_itself_is_followed(folder, tmp_path):
    (tmp_path / "latest").symlink_to(folder)
    assert zoo.load(tmp_path / "latest").spec.embedding_dim == 8


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda spec: spec.update(embedding_dim=10**9), "less than or equal to 16384"),
        (lambda spec: spec.update(embedding_dim=10**400), "embedding_dim"),
        (
            lambda spec: spec["image"].update(
                head={"name": "mlp-gelu", "args": {"hidden_dim": 10**9}}
            ),
            "less than or equal to 16384",
        ),
    ],
)
def test_a_claim_to_all_of_the_memory(folder, change, said):
    edit(folder, lambda manifest: change(manifest["spec"]))
    with pytest.raises(ZooError, match=said):
        zoo.load(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number(folder, value):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["image.head.proj.weight"][3, 3] = value
    save_file(tensors, path)
    edit(folder, lambda manifest: manifest.update(tensors_sha256=sha256_of(path)))
    with pytest.raises(WeightsError, match=r"model.safetensors \(image.head\): proj.weight holds"):
        zoo.load(folder)


def test_a_pickle_under_the_name_of_tensors(folder, tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "canary"),)

    path = folder / "model.safetensors"
    torch.save({"weight": torch.ones(1), "more": Payload()}, path)
    edit(folder, lambda manifest: manifest.update(tensors_sha256=sha256_of(path)))
    with pytest.raises(WeightsError, match=r"model.safetensors: not a whole weights file"):
        zoo.load(folder)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"3",
        b"[]",
        b'"zoo"',
        b"{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"format_version": 1e999}',
        b'{"format_version": true}',
        b'{"format_version": ' + b"9" * 5000 + b"}",
    ],
    ids=range(12),
)
def test_manifests_of_nonsense(folder, content):
    (folder / "zoo.json").write_bytes(content)
    with pytest.raises(FolderError, match=r"zoo.json: "):
        zoo.load(folder)


def test_a_folder_that_is_none(tmp_path):
    for path in (tmp_path / "none", tmp_path / "zoo.json"):
        with pytest.raises(FolderError, match="no saved model"):
            zoo.load(path)
    (tmp_path / "it" / "zoo.json").mkdir(parents=True)
    with pytest.raises(FolderError, match="no saved model"):
        zoo.load(tmp_path / "it")


@pytest.mark.parametrize("name", ["a" * 5000, "~nobody-of-this-name/model", "../../etc/passwd"])
def test_repositories_that_cannot_be(name):
    with pytest.raises(WeightsError, match=r"neither a folder here nor a repo|cannot be"):
        zoo.build("resnet50-clip", towers=("text",), overrides={"text.encoder": f"hf/{name}"})
