"""A model as a folder: whole or not at all, and never another model than was saved."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo
from zoo.errors import FolderError, UnknownNameError, WeightsError
from zoo.folder import SessionComponentWarning
from zoo.heads.linear import LinearHead
from zoo.weights.read import sha256_of
from zoo.weights.record import forget


def small(**overrides):
    return zoo.build(
        "resnet50-clip",
        pretrained=False,
        towers=("image",),
        overrides={
            "image.encoder": "timm/test_resnet",
            "image.head": "linear",
            "embedding_dim": 8,
            **overrides,
        },
    )


@pytest.fixture
def images():
    return torch.rand(2, 3, 64, 64)


def test_round_trip(tmp_path, images):
    model = small().eval()
    model.loss.logit_scale.data.fill_(3.0)
    folder = zoo.save(model, tmp_path / "a" / "model")
    again = zoo.load(folder).eval()
    assert torch.equal(model.encode_image(images), again.encode_image(images))
    assert again.loss.logit_scale.item() == 3.0
    assert again.spec == model.spec
    assert again.provenance == model.provenance
    assert again.text_encoder is None
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "model.safetensors",
        "zoo.json",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_frozen_part_with_random_weights_is_stored_whole(tmp_path, images):
    model = small(**{"image.train": "frozen"}).eval()
    again = zoo.load(zoo.save(model, tmp_path / "model")).eval()
    assert torch.equal(model.encode_image(images), again.encode_image(images))
    assert again.get_trainable_parameters() == []


def frozen_resnet50(tmp_path):
    model = zoo.build(
        "resnet50-clip",
        towers=("image",),
        overrides={"image.train": "head", "image.head": "linear"},
    )
    return model, zoo.save(model, tmp_path / "model")


def test_a_frozen_part_with_an_origin_is_kept_by_hash(tmp_path, resnet50_in_torch_hub):
    model, folder = frozen_resnet50(tmp_path)
    assert set(load_file(folder / "model.safetensors")) == {
        "image.head.proj.weight",
        "loss.logit_scale",
    }
    manifest = json.loads((folder / "zoo.json").read_text())
    assert manifest["provenance"]["image.encoder"]["weights"]["file"] == "resnet50-11ad3fa6.pth"
    assert manifest["parts"]["image.encoder"]["stored"] is False
    again = zoo.load(folder)
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(model.eval().encode_image(images), again.eval().encode_image(images))


def test_other_weights_under_a_frozen_part_are_refused(tmp_path, resnet50_in_torch_hub):
    folder = frozen_resnet50(tmp_path)[1]
    before = resnet50_in_torch_hub.read_bytes()
    try:
        state = torch.load(resnet50_in_torch_hub, weights_only=True)
        state["conv1.weight"][0, 0, 0, 0] += 1
        torch.save(state, resnet50_in_torch_hub)
        with pytest.raises(WeightsError, match=r"not the file of .* when zoo first read it"):
            zoo.load(folder)
        forget("https://download.pytorch.org/models/resnet50-11ad3fa6.pth")
        with pytest.raises(
            WeightsError, match=r"the frozen image.encoder has other weights now than when .* saved"
        ):
            zoo.load(folder)
    finally:
        resnet50_in_torch_hub.write_bytes(before)


def test_an_existing_folder_is_never_lost(tmp_path):
    model = small()
    folder = zoo.save(model, tmp_path / "model")
    with pytest.raises(FolderError, match=r"model: exists already; choose another folder"):
        zoo.save(model, folder)
    zoo.save(small(), folder, overwrite=True)
    assert [path.name for path in tmp_path.iterdir() if "model" in path.name] == ["model"]
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    with pytest.raises(FolderError, match="holds something that is not a saved model"):
        zoo.save(model, mine, overwrite=True)
    assert (mine / "thesis.tex").exists()


def test_files_beside_a_model_are_not_lost(tmp_path):
    folder = zoo.save(small(), tmp_path / "model")
    (folder / ".git" / "refs").mkdir(parents=True)
    (folder / "notes.md").write_text("years of work")
    with pytest.raises(FolderError, match=r"also holds what zoo did not write, .*: .git, notes.md"):
        zoo.save(small(), folder, overwrite=True)
    assert (folder / "notes.md").exists()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_model_that_is_no_number_replaces_nothing(tmp_path, number):
    model = small()
    folder = zoo.save(model, tmp_path / "model")
    with torch.no_grad():
        model.image_encoder.head.proj.weight[0, 0] = number
    with pytest.raises(WeightsError, match=r"not saved: image.head: proj.weight holds (NaN|inf)"):
        zoo.save(model, folder, overwrite=True)
    zoo.load(folder)


def test_a_folder_that_appears_while_a_model_is_saved(tmp_path, monkeypatch):
    from zoo.folder import write

    def slow(*args):
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "precious").touch()
        return "# A card"

    monkeypatch.setattr(write, "card", slow)
    with pytest.raises(FolderError, match=r"model: was made while the model was being saved"):
        zoo.save(small(), tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["precious"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"resize": 10**9}, "resize: 1000000000 is not 1 to 16384 pixels"),
        ({"crop": [0, 64]}, "crop: 0 is not 1 to 16384 pixels"),
        ({"mean": [float("nan"), 0, 0]}, "mean: nan is not a finite number"),
        ({"std": [1, 0, 1]}, "std: 0.0 is not a finite number above 0"),
    ],
)
def test_preprocessing_that_prepares_nothing(tmp_path, change, said):
    folder = zoo.save(small(), tmp_path / "model")
    found = json.loads((folder / "zoo.json").read_text())["preprocess"]
    edit(folder, preprocess={**found, **change})
    with pytest.raises(FolderError, match=f"preprocess.*{said}"):
        zoo.load(folder)


def test_a_failure_while_saving_leaves_nothing(tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    model = small()
    folder = zoo.save(model, tmp_path / "old")
    before = sha256_of(folder / "zoo.json")
    monkeypatch.setattr("zoo.folder.swap.sync", full)
    for target in ("old", "new"):
        with pytest.raises(OSError, match="No space left"):
            zoo.save(model, tmp_path / target, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "zoo-cache") == ["old"]
    assert sha256_of(folder / "zoo.json") == before


def test_a_failed_swap_brings_the_former_model_back(tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.folder.swap._exchange", lambda one, other: False)
    folder = zoo.save(small(), tmp_path / "model")
    before = sha256_of(folder / "model.safetensors")
    rename = Path.rename

    def fail_once(self, target):
        if self.name.startswith(".model.") and not self.name.endswith(".former"):
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(OSError, match="Input/output"):
        zoo.save(small(), folder, overwrite=True)
    assert sha256_of(folder / "model.safetensors") == before
    assert not list(tmp_path.glob(".model*"))


def test_frozen_weights_of_ones_own_are_not_lost(tmp_path, resnet50_in_torch_hub):
    model = frozen_resnet50(tmp_path)[0]
    with torch.no_grad():
        model.image_encoder.encoder.backbone.conv1.weight.mul_(2.0)
    again = zoo.load(zoo.save(model, tmp_path / "mine"))
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(model.eval().encode_image(images), again.eval().encode_image(images))


def test_preprocessing_travels_with_the_model(tmp_path):
    model = small()
    encoder = model.image_encoder.encoder
    encoder.preprocess = dataclasses.replace(
        encoder.preprocess, mean=(0.1, 0.2, 0.3), resize=(70, 80)
    )
    again = zoo.load(zoo.save(model, tmp_path / "model"))
    assert again.image_encoder.encoder.preprocess == encoder.preprocess


@pytest.mark.long
def test_googlenet_is_the_same_after_loading(tmp_path):
    overrides = {"image.encoder": "torchvision/googlenet", "image.weights": None}
    model = small(**overrides).eval()
    images = torch.rand(2, 3, 224, 224)
    again = zoo.load(zoo.save(model, tmp_path / "model")).eval()
    assert torch.equal(model.encode_image(images), again.encode_image(images))
    assert again.image_encoder.encoder.backbone.transform_input


def edit(folder, **changes):
    path = folder / "zoo.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("zoo.json", r"no saved model here \(zoo.json is missing\)"),
        ("model.safetensors", "model.safetensors is missing, so this is not a whole model"),
    ],
)
def test_a_missing_file(tmp_path, file, said):
    folder = zoo.save(small(), tmp_path / "model")
    (folder / file).unlink()
    with pytest.raises(FolderError, match=said):
        zoo.load(folder)


def test_changed_tensors(tmp_path):
    folder = zoo.save(small(), tmp_path / "model")
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(FolderError, match=r"model.safetensors: changed since it was saved: sha256"):
        zoo.load(folder)
    path.write_bytes(whole[:-50])
    with pytest.raises(FolderError, match="changed since it was saved"):
        zoo.load(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("image.head.proj.weight"), "do not fit the model: missing proj.weight"),
        (lambda t: t.update({"image.head.more": torch.ones(1)}), "do not fit .*: unexpected more"),
        (
            lambda t: t.update({"other.thing": torch.ones(1)}),
            "unexpected tensors, such as 'other.thing'",
        ),
        (
            lambda t: t.update({"image.head.proj.weight": torch.ones(2, 2)}),
            r"proj.weight has shape \(2, 2\), and the model's has \(8, ",
        ),
    ],
)
def test_tensors_that_do_not_fit(tmp_path, change, said):
    folder = zoo.save(small(), tmp_path / "model")
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    edit(folder, tensors_sha256=sha256_of(path))
    with pytest.raises((FolderError, WeightsError), match=said):
        zoo.load(folder)


def test_manifests_of_other_kinds(tmp_path):
    folder = zoo.save(small(), tmp_path / "model")
    edit(folder, format_version=99)
    with pytest.raises(FolderError, match=r"of format 99, and this zoo reads up to 2; upgrade"):
        zoo.load(folder)
    edit(folder, format_version=-3)
    with pytest.raises(
        FolderError, match="format_version: Input should be greater than or equal to 1"
    ):
        zoo.load(folder)
    edit(folder, format_version=2, parts={"image.head": 5})
    with pytest.raises(FolderError, match=r"parts.image.head: "):
        zoo.load(folder)
    (folder / "zoo.json").write_text('{"format_version": 1}')
    with pytest.raises(FolderError, match="spec: Field required"):
        zoo.load(folder)
    (folder / "zoo.json").write_text("[")
    with pytest.raises(FolderError, match="not a manifest that zoo wrote"):
        zoo.load(folder)


def test_a_manifest_cannot_name_code(tmp_path):
    folder = zoo.save(small(), tmp_path / "model")
    spec = json.loads((folder / "zoo.json").read_text())["spec"]
    spec["image"]["encoder"]["name"] = "os:system"
    edit(folder, spec=spec)
    with pytest.raises(UnknownNameError, match="unknown image encoder 'os:system'"):
        zoo.load(folder)


def test_an_unknown_component_says_what_to_install(tmp_path):
    folder = zoo.save(small(), tmp_path / "model")
    manifest = json.loads((folder / "zoo.json").read_text())
    manifest["spec"]["image"]["head"] = {"name": "fancy", "args": {}}
    manifest["provenance"]["image.head"]["origin"] = {
        "layer": "plugin", "name": "zoo-fancy", "version": "2.0",
    }  # fmt: skip
    edit(folder, **manifest)
    with pytest.raises(
        UnknownNameError, match=r"It came from zoo-fancy 2.0: pip install zoo-fancy"
    ):
        zoo.load(folder)


def test_a_component_of_the_session_is_told_of(tmp_path):
    zoo.register("head", "mine", LinearHead)
    model = small(**{"image.head": "mine"})
    with pytest.warns(
        SessionComponentWarning, match=r"depends on image.head \(mine\), known to this"
    ):
        folder = zoo.save(model, tmp_path / "model")
    assert zoo.load(folder).spec == model.spec
    from zoo.registry.catalog import _session, catalog

    _session.clear()
    catalog.cache_clear()
    with pytest.raises(
        UnknownNameError, match=r"given by zoo.register in a session; register it again"
    ):
        zoo.load(folder)


def test_only_built_models_can_be_saved(tmp_path):
    with pytest.raises(FolderError, match=r"only a model that zoo.build made"):
        zoo.save(zoo.CLIP(None, None), tmp_path / "model")
