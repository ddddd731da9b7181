"""Specs: where they come from, how layers meet, and what a fault says."""

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

from zoo import ModelSpec
from zoo.assembly import plan
from zoo.errors import RegistryError, SpecError, UnknownNameError
from zoo.spec import Last, LoRA, WithLoRA, spec_schema

MINE = """
base = "resnet50-clip"
embedding_dim = 256

[image]
encoder = "timm/resnet18"

[text]
head = { name = "linear", args = { bias = true } }
"""


def spec_of(source, **options) -> ModelSpec:
    return plan(source, **options).spec


def test_a_name():
    spec = spec_of("resnet50-clip")
    assert spec.name == "resnet50-clip"
    assert spec.embedding_dim == 512
    assert spec.image.head.args == {"hidden_dim": 2048}
    assert (spec.image.train, spec.text.train) == ("full", "frozen")


def test_base_is_followed():
    spec = spec_of("swin-tiny-clip")
    assert spec.name == "swin-tiny-clip"
    assert spec.image.encoder.name == "swin-tiny"
    assert spec.image.head.name == "mlp-gelu"
    assert "Swin" in spec.summary


def test_a_toml_file_and_a_json_file_say_the_same(tmp_path):
    (tmp_path / "mine.toml").write_text(MINE)
    (tmp_path / "mine.json").write_text(json.dumps(tomllib.loads(MINE)))
    spec = spec_of(tmp_path / "mine.toml")
    assert spec == spec_of(str(tmp_path / "mine.json"))
    assert spec == spec_of({**tomllib.loads(MINE), "name": "mine"})
    assert spec.name == "mine"
    assert spec.text.head.args == {"bias": True}


def test_json_round_trip():
    spec = spec_of("resnet50-clip")
    assert ModelSpec.model_validate_json(spec.model_dump_json()) == spec
    assert spec_of(spec) == spec


def test_overrides_by_dotted_path():
    spec = spec_of(
        "resnet50-clip",
        overrides={"image.head.args.hidden_dim": 1024, "loss.args": {"temperature": 0.1}},
    )
    assert spec.image.head.args == {"hidden_dim": 1024}
    assert spec.loss.args == {"temperature": 0.1}


def test_another_component_drops_arguments_meant_for_the_former():
    spec = spec_of("resnet50-clip", overrides={"image.head": "linear"})
    assert (spec.image.head.name, spec.image.head.args) == ("linear", {})
    spec = spec_of("resnet50-clip", overrides={"image.head.name": "linear"})
    assert spec.image.head.args == {}
    spec = spec_of("resnet50-clip", overrides={"image.head.name": "mlp-gelu"})
    assert spec.image.head.args == {"hidden_dim": 2048}


def test_another_encoder_drops_the_weights_tag():
    pinned = {**spec_of("resnet50-clip").model_dump(), "name": "pinned"}
    pinned["image"]["weights"] = "IMAGENET1K_V1"
    assert spec_of(pinned, overrides={"image.encoder": "swin-tiny"}).image.weights == "default"
    chosen = {"image.encoder": "swin-tiny", "image.weights": "ms_in22k"}
    assert spec_of(pinned, overrides=chosen).image.weights == "ms_in22k"


@pytest.mark.parametrize("turn", [1, -1])
def test_the_order_of_overrides_does_not_matter(turn):
    overrides = {
        "image.head": "linear",
        "image.head.args.bias": True,
        "image.encoder": "torchvision/resnet50",
        "image.weights": "IMAGENET1K_V1",
    }
    spec = spec_of("resnet50-clip", overrides=dict(list(overrides.items())[::turn]))
    assert (spec.image.head.name, spec.image.head.args) == ("linear", {"bias": True})
    assert (spec.image.encoder.name, spec.image.weights) == (
        "torchvision/resnet50",
        "IMAGENET1K_V1",
    )


def test_overrides_are_left_as_they_were():
    head = {"name": "mlp-gelu", "args": {"hidden_dim": 8}}
    spec = spec_of("resnet50-clip", overrides={"image.head": head, "image.head.args.dropout": 0.5})
    assert spec.image.head.args == {"hidden_dim": 8, "dropout": 0.5}
    assert head == {"name": "mlp-gelu", "args": {"hidden_dim": 8}}


def test_another_train_mode_drops_the_settings_of_the_former():
    lora = {"image.train": {"lora": {"rank": 4, "targets": ["conv1", "conv2"]}}}
    spec = spec_of("resnet50-clip", overrides=lora)
    assert spec.image.train == WithLoRA(lora=LoRA(rank=4, targets=["conv1", "conv2"]))
    changed = spec_of(spec, overrides={"image.train.lora.alpha": 4})
    assert changed.image.train == WithLoRA(lora=LoRA(rank=4, alpha=4, targets=["conv1", "conv2"]))
    assert spec_of(spec, overrides={"image.train.last": 3}).image.train == Last(last=3)
    assert spec_of(spec, overrides={"image.train": "head"}).image.train == "head"
    assert ModelSpec.model_validate_json(spec.model_dump_json()) == spec


def test_weights_none_in_toml():
    assert spec_of("resnet50-clip", overrides={"image.weights": "none"}).image.weights is None


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            {"image.hed.name": "linear"},
            r"image.hed \(overrides\): unknown key 'hed'; here belong encoder, "
            r"weights, head, train. Did you mean 'head'\?",
        ),
        (
            {"imgae.head": "linear"},
            r"imgae \(overrides\): unknown key 'imgae'; .* Did you mean 'image'\?",
        ),
        (
            {"image.train": "frozn"},
            r"image.train \(overrides\): .* not 'frozn'. Did you mean 'frozen'\?",
        ),
        (
            {"image.train": {"lsat": 2}},
            r"image.train \(overrides\): a train mode is full, head, frozen, { last = n } or "
            r"{ lora = {…} }, not {'lsat': 2}. Did you mean 'last'\?",
        ),
        ({"image.train": 3}, r"image.train \(overrides\): a train mode is full, .*, not 3"),
        ({"image.train.last": 0}, r"image.train.last \(overrides\): .*equal to 1, not 0"),
        ({"image.train.last": True}, r"image.train.last \(overrides\): .*integer, not True"),
        (
            {"image.train": {"last": 2, "lora": {}}},
            r"image.train.lora \(overrides\): unknown key 'lora'; here belong last",
        ),
        (
            {"image.train.lora.rnak": 4},
            r"image.train.lora.rnak \(overrides\): unknown key 'rnak'; here belong rank, alpha, "
            r"dropout, targets. Did you mean 'rank'\?",
        ),
        ({"image.train.lora.dropout": 1.0}, r"image.train.lora.dropout .*less than 1, not 1.0"),
        ({"image.train.lora.targets": "fc1"}, r"image.train.lora.targets .*list, not 'fc1'"),
        ({"embedding_dim": "512"}, r"embedding_dim \(overrides\).*valid integer, not '512'"),
        ({"embedding_dim": 0}, r"embedding_dim \(overrides\).*greater than 0, not 0"),
        ({"image.head.args": 3}, r"image.head.args \(overrides\).*valid dictionary, not 3"),
        ({"base": "swin-tiny-clip"}, r"override 'base': overrides change a model; name another"),
        ({3: 4}, r"override 3: a path is names joined by dots"),
        (
            {"embedding_dim": 4, "embedding_dim.more": 4},
            r"override 'embedding_dim.more' goes into 'embedding_dim', which another override sets",
        ),
        ({"image..head": 3}, r"override 'image..head': a path is names joined by dots"),
    ],
)
def test_faults_in_overrides(overrides, said):
    with pytest.raises(SpecError, match=said):
        spec_of("resnet50-clip", overrides=overrides)


def test_a_fault_names_the_file_it_is_in(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(MINE + "\n[loss]\nnmae = 'info-nce'\n")
    with pytest.raises(SpecError, match=r"loss.nmae \(.*mine.toml\): unknown key .*mean 'name'"):
        spec_of(path)


def test_all_faults_are_told_at_once():
    with pytest.raises(SpecError) as told:
        spec_of({"image": {"encoder": "resnet50"}, "loss": 5})
    said = str(told.value).splitlines()
    assert any(line.startswith("image.head (spec): missing") for line in said)
    assert any(line.startswith("text (spec): missing") for line in said)
    assert any(line.startswith("loss (spec):") for line in said)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("broken.toml", "base = ", "broken.toml: not valid TOML"),
        ("broken.json", "{", "broken.json: not valid JSON"),
        ("list.json", "[]", "list.json: a spec is a table, not list"),
    ],
)
def test_unreadable_files(tmp_path, name, text, said):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(SpecError, match=said):
        spec_of(path)


def test_absent_file(tmp_path):
    with pytest.raises(SpecError, match=r"absent.toml: cannot be read: No such file"):
        spec_of(tmp_path / "absent.toml")


def test_base_that_is_unknown_or_goes_round(user_registry):
    with pytest.raises(UnknownNameError, match=r"unknown model 'resnet5-clip'. Did you mean"):
        spec_of({"base": "resnet5-clip"})
    user_registry('[models.a]\nbase = "b"\n[models.b]\nbase = "a"')
    with pytest.raises(RegistryError, match=r"goes round: b -> a -> b|goes round: a -> b -> a"):
        spec_of("a")


def test_a_spec_cannot_name_a_module():
    with pytest.raises(UnknownNameError, match="unknown image encoder 'os:system'"):
        plan("resnet50-clip", overrides={"image.encoder": "os:system"})
    with pytest.raises(SpecError, match="unknown key '_target_'"):
        plan("resnet50-clip", overrides={"image.encoder._target_": "os.system"})


class TestSchema:
    def valid(self, data) -> bool:
        return jsonschema.Draft202012Validator(spec_schema()).is_valid(data)

    def test_is_itself_valid(self):
        jsonschema.Draft202012Validator.check_schema(spec_schema())

    @pytest.mark.parametrize(
        "data",
        [
            tomllib.loads(MINE),
            {"base": "resnet50-clip", "image": {"head": {"args": {"hidden_dim": 64}}}},
            {"base": "resnet50-clip", "$schema": "./zoo.schema.json"},
            {"base": "resnet50-clip", "image": {"train": {"last": 2}}},
            {"base": "resnet50-clip", "image": {"train": {"lora": {"targets": ["conv1"]}}}},
            {
                "image": {"encoder": "resnet50", "head": "linear"},
                "text": {
                    "encoder": {"name": "clip-vit-b32"},
                    "head": "identity",
                    "weights": "none",
                },
            },
        ],
    )
    def test_takes_what_zoo_takes(self, data):
        spec = spec_of(data)
        assert self.valid(data)
        assert self.valid(spec.model_dump(mode="json"))

    @pytest.mark.parametrize(
        "data",
        [
            {"base": "resnet50-clip", "imgae": {}},
            {"base": "resnet50-clip", "image": {"train": "half"}},
            {"base": "resnet50-clip", "image": {"train": {"last": 0}}},
            {"base": "resnet50-clip", "image": {"train": {"lora": {"rank": 0}}}},
            {"base": "resnet50-clip", "embedding_dim": 0},
            {"base": "resnet50-clip", "embedding_dim": "512"},
            {"image": {"encoder": "a", "head": "b"}},
            {"image": {"encoder": "a"}, "text": {"encoder": "a", "head": "b"}},
        ],
    )
    def test_refuses_what_zoo_refuses(self, data):
        with pytest.raises(SpecError):
            spec_of(data)
        assert not self.valid(data)


def test_every_built_in_model_is_valid():
    import zoo

    for name in zoo.available("models"):
        planned = plan(name, pretrained=False)
        planned.check()
        assert Path(planned.spec.name).suffix == ""


def test_a_name_too_long_for_any_file():
    with pytest.raises(UnknownNameError, match="unknown model 'aaa"):
        plan("a" * 5000)


@pytest.mark.parametrize("name", ["timm/*", "clip-zoo/timm/*"])
def test_a_family_is_no_encoder(name):
    with pytest.raises(UnknownNameError, match=r"image.encoder .*: .*timm/(\*' is a family|NAME)"):
        plan("resnet50-clip", overrides={"image.encoder": name}).check()
