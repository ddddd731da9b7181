"""Names: the built-in ones, families, the user's file, the session."""

import pytest

import zoo
from zoo.errors import RegistryError, UnknownNameError
from zoo.registry import as_kind, catalog


def test_built_in_names_are_all_there():
    assert zoo.available("image_encoders") == [
        "convnext-tiny", "efficientnet-b0", "hf/*", "mobilenetv4", "resnet50", "resnet50d",
        "swin-tiny", "timm/*", "torchvision/*", "vit-s16",
    ]  # fmt: skip
    assert zoo.available("text_encoders") == ["clip-vit-b32", "hf/*"]
    assert zoo.available("heads") == [
        "identity", "kernel", "linear", "mlp-gelu", "residual-mlp", "two-way-kernel", "whiten",
    ]  # fmt: skip
    assert zoo.available("loss") == [
        "decoupled", "distillation", "hard-negative", "info-nce", "siglip",
    ]  # fmt: skip
    assert zoo.available("models", "*50*") == ["resnet50-clip", "resnet50d-clip"]
    assert zoo.available("datasets") == []


def test_every_built_in_says_what_it_is():
    for component in catalog().select():
        assert component.summary, component.name
        assert str(component.origin).startswith("clip-zoo ")


@pytest.mark.parametrize("word", ["models", "model", "projection-heads", "head", "Losses", "loss"])
def test_kinds_in_any_usual_form(word):
    assert as_kind(word) in ("models", "projection_heads", "losses")


def test_unknown_kind_names_the_nearest():
    with pytest.raises(RegistryError, match=r"unknown kind 'modles'; .*Did you mean 'models'\?"):
        zoo.available("modles")


def test_family_takes_the_rest_of_the_name():
    match = catalog().find("image_encoders", "timm/convnext_tiny.fb_in1k")
    assert (match.component.name, match.rest) == ("timm/*", "convnext_tiny.fb_in1k")
    assert catalog().find("text_encoders", "hf/owner/name").rest == "owner/name"


def test_unknown_name_has_the_nearest():
    with pytest.raises(
        UnknownNameError, match=r"unknown model 'resnet50-clp'. Did you mean 'resnet50-clip'"
    ):
        catalog().find("models", "resnet50-clp")
    with pytest.raises(
        UnknownNameError, match=r"The families are hf/NAME, timm/NAME, torchvision/NAME"
    ):
        catalog().find("image_encoders", "tim/resnet18")


def test_user_file_adds_and_replaces(user_registry):
    user_registry(
        """
        [image_encoders.small]
        use = "timm/resnet18"
        args = { drop_rate = 0.1 }

        [image_encoders.resnet50]
        override = true
        use = "clip-zoo/resnet50"
        weights = "IMAGENET1K_V1"

        [models.small-clip]
        base = "resnet50-clip"
        image.encoder = "small"
        """
    )
    assert "small-clip" in zoo.available("models")
    component = catalog().find("image_encoders", "resnet50").component
    assert component.weights == "IMAGENET1K_V1"
    assert str(component.origin) == "zoo.toml"
    assert component.overrides is not None
    assert component.overrides.name == "clip-zoo"
    model = zoo.build("small-clip", pretrained=False, towers=["image"])
    assert model.spec.image.encoder.args["drop_rate"] == 0.1
    assert model.image_encoder.encoder.out_dim == 512


def test_user_file_must_say_override(user_registry):
    user_registry('[image_encoders.resnet50]\nuse = "timm/resnet50"')
    with pytest.raises(
        RegistryError,
        match=r"zoo.toml: the image encoder name 'resnet50' is taken by clip-zoo .*override = true",
    ):
        catalog()


def test_override_of_nothing(user_registry):
    user_registry('[image_encoders.resnet5]\noverride = true\nuse = "timm/resnet50"')
    with pytest.raises(
        RegistryError, match=r"there is nothing to replace. Did you mean 'resnet50'"
    ):
        catalog()


def test_presets_that_go_round(user_registry):
    user_registry(
        '[image_encoders.a]\nuse = "b"\n[image_encoders.b]\nuse = "a"\n'
        '[models.m]\nbase = "resnet50-clip"\nimage.encoder = "a"'
    )
    with pytest.raises(RegistryError, match="goes round: a -> b -> a"):
        zoo.build("m", pretrained=False)


def test_registry_variable(tmp_path, monkeypatch):
    path = tmp_path / "elsewhere.toml"
    path.write_text('[models.mine]\nbase = "resnet50-clip"')
    monkeypatch.setenv("ZOO_REGISTRY", str(path))
    assert "mine" in zoo.available("models")
    monkeypatch.setenv("ZOO_REGISTRY", str(tmp_path / "absent.toml"))
    catalog.cache_clear()
    with pytest.raises(
        RegistryError, match=r"ZOO_REGISTRY names .*absent.toml', and there is no such"
    ):
        catalog()


def test_register_in_a_session():
    from zoo.heads.linear import LinearHead

    zoo.register("head", "mine", LinearHead, summary="of this session")
    component = catalog().find("projection_heads", "mine").component
    assert component.origin.layer == "session"
    assert "zoo.heads.linear" in str(component.origin)
    with pytest.raises(RegistryError, match="the projection head name 'mine' is taken by session"):
        zoo.register("head", "mine", LinearHead)
    with pytest.raises(RegistryError, match="'linear' is taken by clip-zoo"):
        zoo.register("head", "linear", LinearHead)
    with pytest.raises(RegistryError, match="cannot be called"):
        zoo.register("head", "other", "zoo.heads.linear:LinearHead")
    with pytest.raises(RegistryError, match="name 'Bad Name' is not legal"):
        zoo.register("head", "Bad Name", LinearHead)


def test_a_preset_without_weights(user_registry):
    user_registry('[image_encoders.bare]\nuse = "resnet50"\nweights = "none"')
    overrides = {"image.encoder": "bare"}
    model = zoo.build("resnet50-clip", towers=["image"], overrides=overrides)
    assert model.spec.image.weights is None
    assert model.provenance["image.encoder"]["weights"] is None
