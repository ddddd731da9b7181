"""A deprecated name still builds, with one warning, and is not listed."""

import warnings

import pytest

import zoo
from zoo.errors import DeprecatedNameWarning, UnknownNameError
from zoo.registry import catalog
from zoo.registry.resolve import resolve

TOML = """
[image_encoders.old-encoder]
use = "older-encoder"
deprecated = "resnet50d, which is more accurate"

[image_encoders.older-encoder]
use = "timm/resnet10t"
deprecated = "nothing"

[models.old-clip]
base = "older-clip"
deprecated = "resnet50-clip"

[models.older-clip]
base = "resnet50-clip"
deprecated = "nothing"
image.encoder = "timm/resnet10t"
"""

HOOKS = """
from zoo import HookedComponent, hookimpl

@hookimpl
def zoo_losses():
    return [HookedComponent("old-loss", "old_losses:Loss", "", deprecated="info-nce")]
"""


@pytest.fixture
def plugin(install):
    install(
        "zoo-old",
        {
            "zoo.registries": {"models": "zoo_old:models.toml"},
            "zoo.plugins": {"h": "zoo_old.hooks"},
        },
        {
            "zoo_old/__init__.py": "",
            "zoo_old/models.toml": TOML,
            "zoo_old/hooks.py": HOOKS,
            "old_losses.py": "from zoo.losses.info_nce import InfoNCELoss as Loss",
        },
    )


def warned(call) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert all(each.category is DeprecatedNameWarning for each in caught)
    assert all(each.filename == __file__ for each in caught)
    return [str(each.message) for each in caught]


def build(model: str, **overrides) -> None:
    named = {path.replace("__", "."): value for path, value in overrides.items()}
    zoo.build(model, pretrained=False, towers=["image"], overrides=named)


def test_components_warn_once_and_say_what_to_use(plugin):
    assert warned(lambda: build("resnet50-clip", image__encoder="old-encoder")) == [
        "the image encoder name 'old-encoder' of zoo-old 1.0 is deprecated; use resnet50d, which is "
        "more accurate"
    ]
    assert warned(lambda: resolve(catalog(), "losses", "old-loss")) == [
        "the loss name 'old-loss' of zoo-old 1.0 is deprecated; use info-nce"
    ]


def test_models_warn_once(plugin, tmp_path):
    said = "the model name 'old-clip' of zoo-old 1.0 is deprecated; use resnet50-clip"
    assert warned(lambda: build("old-clip")) == [said]
    assert warned(lambda: build({"base": "old-clip"})) == [said]
    spec = tmp_path / "mine.toml"
    spec.write_text('base = "old-clip"')
    assert warned(lambda: build(spec)) == [said]
    assert warned(lambda: build("resnet50-clip", image__encoder="timm/resnet10t")) == []


def test_deprecated_names_are_found_and_not_listed(plugin):
    assert "old-clip" not in zoo.available("models")
    assert "zoo-old" not in " ".join(zoo.available())
    assert "old-loss" not in [each.name for each in catalog().select("losses")]
    assert "old-loss" in [each.name for each in catalog().select("losses", deprecated=True)]
    assert catalog().find("models", "zoo-old/old-clip").component.deprecated == "resnet50-clip"


def test_deprecated_names_are_not_suggested(plugin):
    with pytest.raises(UnknownNameError) as caught:
        catalog().find("losses", "old-los")
    assert "Did you mean" not in str(caught.value)


def test_the_users_file_deprecates_too(user_registry):
    user_registry('[models.mine]\nbase = "resnet50-clip"\ndeprecated = "resnet50-clip"')
    assert "mine" not in zoo.available("models")
    assert catalog().find("models", "mine")
