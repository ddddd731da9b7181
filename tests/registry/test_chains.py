"""Presets and models of plugins that lead nowhere are found when the catalogue is made."""

import pytest

import zoo
from zoo.errors import RegistryError
from zoo.registry import catalog


@pytest.fixture
def fragment(install):
    def write(toml: str, name: str = "zoo-models") -> None:
        package = name.replace("-", "_")
        install(
            name,
            {"zoo.registries": {"models": f"{package}:models.toml"}},
            {f"{package}/__init__.py": "", f"{package}/models.toml": toml},
        )

    return write


def reasons() -> dict[str, str]:
    return {failure.name: failure.reason for failure in catalog().failures}


def test_what_leads_into_a_circle_fails_and_the_rest_stays(fragment):
    fragment(
        '[image_encoders.a]\nuse = "zoo-models/b"\n[image_encoders.b]\nuse = "a"\n'
        '[image_encoders.c]\nuse = "b"\n[image_encoders.d]\nuse = "timm/resnet18"\n'
        '[image_encoders.e]\nuse = "d"\n'
    )
    assert zoo.available("image_encoders", "zoo-models/*") == ["d", "e"]
    assert reasons() == {
        "a": "[image_encoders.a] goes round: a -> b -> a",
        "b": "[image_encoders.b] goes round: b -> a -> b",
        "c": "[image_encoders.c] goes round: c -> b -> a -> b",
    }


def test_a_model_that_builds_on_nothing(fragment):
    fragment(
        '[models.a]\nbase = "resnet50-clp"\n[models.b]\nbase = "a"\n[models.c]\nembedding_dim = 4\n'
    )
    assert zoo.available("models", "zoo-models/*") == ["c"]
    said = reasons()
    assert said["a"].startswith(
        "[models.a] builds on 'resnet50-clp': unknown model 'resnet50-clp'. Did you mean 'resnet50-cl"
    )
    assert said["b"].startswith("[models.a] builds on 'resnet50-clp'")


def test_an_ambiguous_name_is_left_to_whoever_builds(fragment):
    fragment('[image_encoders.same]\nuse = "resnet50"', "zoo-a")
    fragment('[image_encoders.same]\nuse = "resnet50"', "zoo-b")
    fragment('[image_encoders.other]\nuse = "same"', "zoo-c")
    assert "other" in zoo.available("image_encoders")
    assert reasons() == {}


def test_a_circle_through_the_users_file_is_the_users(fragment, user_registry):
    fragment('[image_encoders.a]\nuse = "mine"')
    user_registry(
        '[image_encoders.mine]\nuse = "a"\n[models.m]\nbase = "resnet50-clip"\nimage.encoder = "a"'
    )
    assert {"a", "mine", "m"} <= set(zoo.available())
    with pytest.raises(
        RegistryError, match=r"zoo.toml: \[image_encoders.mine\] goes round: a -> mine"
    ):
        zoo.build("m", pretrained=False)
