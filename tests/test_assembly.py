"""From names to a model: arguments, contracts, towers, provenance."""

import re

import pytest
import torch
from torch import nn

import zoo
from zoo.assembly import plan
from zoo.errors import (
    ArgumentError,
    PluginError,
    SpecError,
    TowerError,
    UnknownNameError,
    WeightsError,
)
from zoo.weights.source import WeightsSource


def build(**overrides):
    paths = {key.replace("__", "."): value for key, value in overrides.items()}
    return zoo.build(
        "resnet50-clip",
        pretrained=False,
        towers=("image",),
        overrides={"image.encoder": "torchvision/resnet18", **paths},
    )


def test_arguments_reach_the_component():
    model = build(image__head__args={"hidden_dim": 96, "dropout": 0.5})
    assert model.image_encoder.head.fc1.out_features == 96
    assert model.image_encoder.head.dropout.p == 0.5


def test_the_spec_of_a_model_is_filled_in_and_builds_the_same_again():
    model = build(image__head__args={"hidden_dim": 96})
    assert model.spec.image.head.args == {
        "hidden_dim": 96,
        "normalize": False,
        "dropout": 0.0,
        "input_dropout": 0.0,
    }
    again = zoo.build(model.spec, towers=("image",))
    assert again.spec == model.spec
    assert [p.shape for p in again.parameters()] == [p.shape for p in model.parameters()]


def test_provenance_names_every_component():
    model = zoo.build("resnet50-clip", pretrained=False)
    assert set(model.provenance) == {
        "image.encoder", "image.head", "text.encoder", "text.head", "loss",
    }  # fmt: skip
    for entry in model.provenance.values():
        assert entry["origin"]["name"] == "clip-zoo"
        assert entry["target"].startswith("zoo.")


@pytest.mark.parametrize(
    ("overrides", "error", "said"),
    [
        (
            {"image__head__args": {"hiden_dim": 8}},
            ArgumentError,
            r"image.head.args.hiden_dim \(overrides\): the projection head 'mlp-gelu' "
            r"has no argument 'hiden_dim'; it takes hidden_dim, .*Did you mean 'hidden_dim'\?",
        ),
        (
            {"image__head__args": {"hidden_dim": "8"}},
            ArgumentError,
            r"image.head.args.hidden_dim \(overrides\): the projection head 'mlp-gelu': input should "
            r"be a valid integer, not '8'",
        ),
        (
            {"image__head__args": {"hidden_dim": True}},
            ArgumentError,
            r"input should be a valid integer, not True",
        ),
        (
            {"image__head__args": {"in_dim": 8}},
            ArgumentError,
            r"image.head.args.in_dim .*the projection head 'mlp-gelu' gets 'in_dim' from zoo itself",
        ),
        (
            {"image__encoder": {"name": "resnet50", "args": {"architecture": "vgg11"}}},
            ArgumentError,
            r"image.encoder.args.architecture .*the image encoder 'resnet50' has no argument",
        ),
        (
            {"loss__args": {"temprature": 0.1}},
            ArgumentError,
            r"loss.args.temprature .*the loss 'info-nce' has no .*Did you mean 'temperature'\?",
        ),
        (
            {"loss__args": {"temperature": 0.001}},
            ArgumentError,
            r"loss \(.*temperature of at least 1 / max_scale = 0.01, not 0.001",
        ),
        (
            {"image__head": "identity"},
            ArgumentError,
            r"image.head \(overrides\): the head 'identity' keeps the encoder's 512 "
            r"features, and the embedding has 64",
        ),
        (
            {"image__encoder": "torchvision/resnet19"},
            UnknownNameError,
            r"image.encoder \(overrides\): torchvision has no architecture 'resnet19'. Did you mean "
            r"'resnet1(8|01)'",
        ),
        (
            {"image__encoder": "timm/resnet19"},
            UnknownNameError,
            r"timm has no architecture 'resnet19'. Did you mean",
        ),
        (
            {"image__head__args": {"dropout": 2.0}},
            ArgumentError,
            r"image.head.args.dropout .*input should be less than 1, not 2.0",
        ),
        (
            {"image__head__args": {"hidden_dim": 0}},
            ArgumentError,
            r"image.head.args.hidden_dim .*input should be greater than 0, not 0",
        ),
        (
            {"loss__args": {"temperature": float("nan")}},
            ArgumentError,
            r"loss.args.temperature .*nan is not a value that a spec can hold",
        ),
        (
            {"image__head": "linaer"},
            UnknownNameError,
            r"image.head .*unknown projection head 'linaer'. Did you mean 'linear'\?",
        ),
    ],
)
def test_faults(overrides, error, said):
    with pytest.raises(error, match=said):
        build(embedding_dim=64, **overrides)


@pytest.mark.parametrize(
    ("name", "overrides", "said"),
    [
        (
            "resnet50-clip",
            {"image.weights": "IMAGENET1K_V3"},
            r"image.weights \(overrides\): the image encoder 'resnet50' has no weights "
            r"'IMAGENET1K_V3'; it has IMAGENET1K_V1, .*Did you mean 'IMAGENET1K_V",
        ),
        (
            "resnet50d-clip",
            {"image.weights": "ra3_in1k"},
            r"the image encoder 'resnet50d' has no weights 'ra3_in1k'; .*'ra2_in1k'",
        ),
        (
            "resnet50-clip",
            {"text.weights": "laion"},
            r"text.weights .*the text encoder 'clip-vit-b32' has no weights 'laion'; it has openai",
        ),
    ],
)
def test_weights_tags_are_checked_before_anything_is_fetched(name, overrides, said):
    with pytest.raises(UnknownNameError, match=said):
        plan(name, overrides=overrides).check()


def test_mistyped_arguments_are_refused_before_weights_load(monkeypatch):
    def never(*_args, **_options):
        raise AssertionError("weights were asked for")

    monkeypatch.setattr("zoo.encoders.torchvision_image.cached_checkpoint", never)
    with pytest.raises(ArgumentError):
        zoo.build(
            "resnet50-clip", overrides={"text.head": {"name": "linear", "args": {"bais": True}}}
        )


def test_without_network_and_cache_the_error_says_how():
    with pytest.raises(
        WeightsError,
        match=r"image.encoder .*resnet50d.ra2_in1k.*not cached.*hf download timm/resnet50d.ra2_in1k",
    ):
        zoo.build("resnet50d-clip", towers=("image",))
    with pytest.raises(
        WeightsError,
        match=r"'nobody/nothing' cannot be loaded: nothing of it is cached .*hf download nobody/nothing",
    ):
        zoo.build("resnet50-clip", overrides={"text.encoder": "hf/nobody/nothing"}, towers=["text"])


def test_towers():
    image_only = build()
    assert image_only.text_encoder is None
    with pytest.raises(TowerError, match="built without its text tower; build it with towers that"):
        image_only.encode_text(torch.ones(1, 4).long(), torch.ones(1, 4).long())
    with pytest.raises(
        SpecError, match=r"no tower 'txt'; the towers are image and text. Did you mean"
    ):
        zoo.build("resnet50-clip", towers=["txt"])
    with pytest.raises(SpecError, match="name at least one"):
        zoo.build("resnet50-clip", towers=[])


class Tiny(nn.Module):
    """An encoder that keeps the contract with the fewest lines."""

    def __init__(self, *, weights: str | None = None, width: int = 4) -> None:
        super().__init__()
        self.out_dim = width
        self.preprocess = zoo.Preprocess(8, (8, 8), "bilinear", (0.5,) * 3, (0.5,) * 3)
        self.conv = nn.Conv2d(3, width, 8)

    def forward(self, images):
        return self.conv(images).flatten(1)


def test_a_registered_class_is_an_encoder():
    zoo.register("image_encoder", "tiny", Tiny)
    model = build(image__encoder={"name": "tiny", "args": {"width": 6}})
    assert model.encode_image(torch.rand(2, 3, 8, 8)).shape == (2, 512)
    assert model.provenance["image.encoder"]["origin"]["layer"] == "session"


def test_what_weights_decided_is_in_the_spec_where_the_factory_takes_it():
    def create(*, weights="mine", width=4):
        made = Tiny(width=6)
        made.weights_source = WeightsSource("mine", "here", "mine.safetensors")
        made.resolved_args = {"width": 6, "pooling": "cls"}
        return made

    zoo.register("image_encoder", "around", create)
    model = zoo.build("resnet50-clip", towers=("image",), overrides={"image.encoder": "around"})
    assert model.spec.image.encoder.args == {"width": 6}
    zoo.build(model.spec, towers=("image",))


def test_a_factory_that_breaks_the_contract_is_named():
    zoo.register("image_encoder", "no-dim", lambda *, weights=None: nn.Identity())
    with pytest.raises(
        PluginError,
        match=r"'no-dim' of session .* built Identity without 'out_dim'; every image",
    ):
        build(image__encoder="no-dim")
    zoo.register("image_encoder", "no-weights", lambda: nn.Identity())
    with pytest.raises(
        PluginError, match=r"'no-weights' of session .* takes no argument 'weights' with"
    ):
        build(image__encoder="no-weights")


def test_a_head_whose_size_does_not_fit_is_refused_at_build():
    zoo.register("head", "stubborn", lambda *, in_dim, out_dim: nn.Linear(in_dim, 7))
    with pytest.raises(
        SpecError,
        match=r"the head 'stubborn' does not map the encoder's 512 features to embedding_dim = 512: "
        r"its output for one of them has shape \(1, 7\)",
    ):
        build(image__head="stubborn")
    zoo.register("head", "deaf", lambda *, in_dim, out_dim: nn.Linear(3, out_dim))
    with pytest.raises(SpecError, match=r"'deaf' does not map .* it fails on them: mat1 and mat2"):
        build(image__head="deaf")


def test_a_target_that_cannot_be_imported(install):
    install(
        "zoo-broken",
        {"zoo.image_encoders": {"gone": "gone_module:create"}},
        {"gone_module.py": "def create(*, weights=None): ...\nimport nowhere_at_all"},
    )
    with pytest.raises(
        PluginError,
        match=r"image encoder 'gone' of zoo-broken 1.0 could not be imported from 'gone_module:create'",
    ):
        build(image__encoder="gone")
    install(
        "zoo-typo",
        {"zoo.image_encoders": {"typo": "typo_module:craete"}},
        {"typo_module.py": "def create(*, weights=None): ...\nglobals()"},  # reading cannot tell
    )
    with pytest.raises(PluginError, match=r"has no 'craete'. Did you mean 'create'\?"):
        build(image__encoder="typo")


@pytest.mark.long
@pytest.mark.parametrize("name", zoo.available("models"))
def test_every_built_in_model_builds_without_network_or_file(name):
    model = zoo.build(name, pretrained=False).eval()
    crop = model.image_encoder.encoder.preprocess.crop
    with torch.no_grad():
        image_embeds, text_embeds = model(
            torch.rand(2, 3, *crop), torch.randint(0, 49408, (2, 9)), torch.ones(2, 9).long()
        )
    assert image_embeds.shape == text_embeds.shape == (2, model.spec.embedding_dim)
    assert model.parameter_counts()["text.encoder"] == (0, 63_428_096)


def test_a_component_that_fails_is_named():
    def explode(*, weights: str | None = None) -> nn.Module:
        raise KeyError("deep inside")

    zoo.register("image_encoder", "explode", explode)
    with pytest.raises(
        ArgumentError,
        match=r"image.encoder \(overrides\): the image encoder 'explode' of session .* could not be made: "
        r"KeyError: 'deep inside'",
    ):
        build(image__encoder="explode")


def test_defaults_that_json_cannot_say_are_left_out_of_the_spec():
    def head(*, in_dim: int, out_dim: int, act: type[nn.Module] = nn.GELU) -> nn.Module:
        return nn.Sequential(nn.Linear(in_dim, out_dim), act())

    zoo.register("head", "with-class", head)
    assert build(image__head="with-class").spec.image.head.args == {}


def test_a_device_that_is_not_here():
    for device in ("cuda:77", "toaster"):
        with pytest.raises(SpecError, match=f"the device '{device}' cannot be used here"):
            zoo.build("resnet50-clip", pretrained=False, device=device, towers=["image"])


def test_a_fault_in_a_preset_is_blamed_on_the_preset(user_registry):
    user_registry('[image_encoders.small]\nuse = "timm/resnet18"\nargs = { drop_rat = 0.1 }')
    with pytest.raises(
        ArgumentError,
        match=r"image.encoder.args.drop_rat \(preset 'small' of zoo.toml\): .*Did you mean 'drop_rate'",
    ):
        build(image__encoder="small")


@pytest.mark.parametrize(
    ("source", "overrides", "said"),
    [
        (3, None, "a model is a name, a spec, a dict or a file, not 3"),
        (
            "resnet50-clip",
            ["image.head=linear"],
            r"overrides map dotted paths to values, .* not a list",
        ),
        (
            {"base": "resnet5-clip"},
            None,
            r"base \(spec\): unknown model 'resnet5-clip'. Did you mean",
        ),
    ],
)
def test_sources_of_other_kinds(source, overrides, said):
    with pytest.raises(zoo.ZooError, match=said):
        zoo.build(source, overrides=overrides)


def test_a_folder_or_a_file_of_another_kind(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "zoo.json").write_text("{}")
    with pytest.raises(SpecError, match=r"this is a saved model; open it with zoo.load"):
        zoo.build(str(tmp_path / "model"))
    (tmp_path / "notes.md").write_text("notes")
    with pytest.raises(SpecError, match=r"notes.md: a spec file ends in .toml or .json"):
        zoo.build(str(tmp_path / "notes.md"))


def test_weights_that_an_encoder_swallows_are_refused(install):
    install("zoo-any", {"zoo.image_encoders": {"swallows": "wrong_components:SwallowsTags"}})
    spec = {"image.encoder": "swallows", "image.weights": "imagenet", "image.head": "linear"}
    with pytest.raises(
        UnknownNameError,
        match=r"image.weights \(overrides?\): the image encoder 'swallows' took the weights 'imagenet', "
        r"and nothing says that it has them",
    ):
        zoo.build("resnet50-clip", overrides=spec, towers=["image"])
    assert zoo.build("resnet50-clip", overrides={**spec, "image.weights": "none"}, towers=["image"])


def annotated(annotation):
    """A registered head with arguments annotated in text; one is `annotation`, one `int`."""

    def head(*, in_dim, out_dim, act=None, width: "int" = 4):
        return nn.Linear(in_dim, out_dim)

    head.__annotations__["act"] = annotation
    zoo.register("head", "annotated", head)


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ("Missing", "NameError: name 'Missing' is not defined"),
        ("nn.Missing | None", "AttributeError: module 'torch.nn' has no attribute 'Missing'"),
        ("a type", "SyntaxError: .*"),
        ("list['Missing']", "PydanticUndefinedAnnotation: name 'Missing' is not defined"),
    ],
)
def test_an_annotation_that_cannot_be_resolved(annotation, reason):
    annotated(annotation)
    told = (
        r"image.head.args.act \(overrides\): the projection head 'annotated' annotates it as "
        rf"\"?'?{re.escape(annotation)}'?\"?, which cannot be resolved \({reason}\); annotate it with"
    )
    with pytest.raises(PluginError, match=told):
        build(image__head={"name": "annotated", "args": {"act": "x"}})


def test_an_annotation_for_type_checkers_harms_no_other_argument():
    annotated("Missing")
    assert build(image__head="annotated").spec.image.head.args == {"act": None, "width": 4}
    with pytest.raises(ArgumentError, match=r"args.width .*valid integer, not 'x'"):
        build(image__head={"name": "annotated", "args": {"width": "x"}})
