"""Plugins: what they add, whom they never replace, which are read. Broken ones: the menagerie."""

import sys

import pytest

import zoo
from zoo.errors import AmbiguousNameError, PluginError, UnknownNameError
from zoo.registry import catalog, load_catalog

HEAD_HOOKS = """
from zoo import HookedComponent, hookimpl

@hookimpl
def zoo_projection_heads():
    return [HookedComponent("{name}", "heads_of_{module}:Head", "a head for tests")]
"""


def hooks(install, dist, name="wide"):
    module = dist.replace("-", "_")
    install(
        dist,
        {"zoo.plugins": {"hooks": f"{module}_hooks"}},
        {
            f"{module}_hooks.py": HEAD_HOOKS.format(name=name, module=module),
            f"heads_of_{module}.py": (
                "from torch import nn\n"
                "class Head(nn.Linear):\n"
                "    def __init__(self, *, in_dim: int, out_dim: int) -> None:\n"
                "        super().__init__(in_dim, out_dim)\n"
            ),
        },
    )


CREATE = "def create(*, weights=None): ..."


def only_failure():
    (failure,) = catalog().failures
    return failure


def test_entry_point_is_listed_without_import(install):
    install(
        "zoo-third",
        {"zoo.image_encoders": {"third": "module_that_explodes:create"}},
        {"module_that_explodes.py": f"{CREATE}\nraise SystemExit('imported')"},
    )
    assert "third" in zoo.available("image_encoders")
    component = catalog().find("image_encoders", "third").component
    assert str(component.origin) == "zoo-third 1.0"
    assert catalog().find("image_encoders", "zoo-third/third").component == component


def test_plugin_family(install):
    entries = {"zoo.text_encoders": {"open_clip/*": "third:create"}}
    install("zoo-third", entries, {"third.py": CREATE})
    assert catalog().find("text_encoders", "open_clip/ViT-B-32").rest == "ViT-B-32"
    assert catalog().find("text_encoders", "zoo-third/open_clip/ViT-B-32").rest == "ViT-B-32"


def test_a_plugin_called_as_a_family_has_its_own_names_first(install, monkeypatch):
    mine = {"mine": "third:create"}
    install("openclip", {"zoo.text_encoders": {"openclip/*": "third:create", **mine}})
    install("zoo-other", {"zoo.text_encoders": mine}, {"third.py": CREATE})

    monkeypatch.setenv("ZOO_PLUGINS", "openclip,zoo-other")

    def found(name):
        match = catalog().find("text_encoders", name)
        return match.component.origin.name, match.component.name, match.rest

    with pytest.raises(AmbiguousNameError, match="write 'openclip/mine' or 'zoo-other/mine'"):
        found("mine")
    assert found("openclip/mine") == ("openclip", "mine", None)
    assert found("openclip/other") == ("openclip", "openclip/*", "other")
    assert found("openclip/openclip/mine") == ("openclip", "openclip/*", "mine")
    assert catalog().failures == ()


def test_hook_gives_heads_like_the_built_in_ones(install):
    hooks(install, "zoo-heads")
    model = zoo.build(
        "resnet50-clip", pretrained=False, overrides={"image.head": "wide"}, towers=["image"]
    )
    assert type(model.image_encoder.head).__name__ == "Head"
    assert model.provenance["image.head"]["origin"]["name"] == "zoo-heads"


def test_two_plugins_with_one_name(install):
    hooks(install, "zoo-a")
    hooks(install, "zoo-b")
    with pytest.raises(
        AmbiguousNameError, match=r"'wide' is offered by several .* 'zoo-a/wide' or 'zoo-b/wide'"
    ):
        catalog().find("projection_heads", "wide")
    found = catalog().find("projection_heads", "zoo-b/wide").component
    assert found.origin.name == "zoo-b"
    assert {"zoo-a/wide", "zoo-b/wide"} <= set(zoo.available("heads"))


def test_extras_in_an_entry_point_are_no_part_of_the_target(install):
    entries = {"zoo.image_encoders": {"mine": "mine:create [gpu]"}}
    install("zoo-extra", entries, {"mine.py": CREATE})
    assert catalog().find("image_encoders", "mine").component.target == "mine:create"


def test_a_distribution_named_like_a_family_does_not_hide_it(install):
    install("timm", {"zoo.image_encoders": {"resnet18": "mine:create"}}, {"mine.py": CREATE})
    assert catalog().find("image_encoders", "timm/resnet18").component.name == "timm/*"
    assert catalog().find("image_encoders", "resnet18").component.origin.name == "timm"
    assert only_failure().reason == (
        "its distribution is called as the family 'timm/*', which is built in and has all names of "
        "that form; it answers to 'resnet18' alone"
    )


def test_strict_mode_raises(install, monkeypatch):
    install("zoo-broken", {"zoo.plugins": {"hooks": "strictly_broken"}})
    monkeypatch.setenv("ZOO_STRICT", "1")
    with pytest.raises(PluginError, match=r"ZOO_STRICT is set, and\n  zoo-broken 1.0 \(hooks\): "):
        catalog()


def test_unknown_name_mentions_the_plugin_that_failed(install):
    install("zoo-broken", {"zoo.plugins": {"hooks": "absent_module"}})
    with pytest.raises(
        UnknownNameError, match=r"\(zoo-broken 1.0 failed to load; see: zoo plugins\)"
    ):
        catalog().find("losses", "triplet")


def test_allow_list(install, monkeypatch):
    hooks(install, "zoo-a", "wide")
    install("zoo-broken", {"zoo.plugins": {"hooks": "never_imported"}})
    monkeypatch.setenv("ZOO_PLUGINS", "zoo_A")
    assert catalog().failures == ()
    assert [origin.name for origin in catalog().plugins] == ["zoo-a"]
    monkeypatch.setenv("ZOO_PLUGINS", "")
    catalog.cache_clear()
    assert "wide" not in zoo.available("heads")


def test_an_allow_list_for_one_call(install, monkeypatch):
    hooks(install, "zoo-a", "wide")
    hooks(install, "zoo-b", "narrow")
    monkeypatch.setenv("ZOO_PLUGINS", "zoo-b")
    names = load_catalog(allow={"Zoo_A"})
    assert [origin.name for origin in names.plugins] == ["zoo-a"]
    assert names.find("projection_heads", "wide")
    (failure,) = load_catalog(allow=["zoo-c"]).failures
    assert failure.reason.startswith("asked for 'zoo-c', and no such plugin is installed. Did you")
    assert load_catalog(allow=[]).plugins == ()
    assert [origin.name for origin in catalog().plugins] == ["zoo-b"]


def test_an_unknown_name_that_a_plugin_offers_and_failed(install):
    install("zoo-broken", {"zoo.image_encoders": {"gone": "gone_module:create"}})
    reason = "the target of 'gone' is 'gone_module:create', and there is no module 'gone_module'"
    for name in ("gone", "zoo-broken/gone"):
        with pytest.raises(UnknownNameError) as caught:
            catalog().find("image_encoders", name)
        said = f"unknown image encoder {name!r}. zoo-broken 1.0 offers it, and it failed: {reason}"
        assert str(caught.value) == said


def test_replacing_a_name_of_a_plugin_that_failed(install, user_registry):
    install("zoo-broken", {"zoo.image_encoders": {"gone": "gone_module:create"}})
    user_registry('[image_encoders.gone]\noverride = true\nuse = "resnet50"')
    assert str(catalog().find("image_encoders", "gone").component.origin) == "zoo.toml"


def test_allow_list_with_a_name_that_is_not_installed(install, monkeypatch):
    hooks(install, "zoo-alpha")
    monkeypatch.setenv("ZOO_PLUGINS", "zoo-alpah")
    assert "'zoo-alpah', and no such plugin is installed. Did you mean 'zoo-alpha'?" in (
        only_failure().reason
    )


def test_fragment_adds_models(install):
    install(
        "zoo-models",
        {"zoo.registries": {"models": "zoo_models:models.toml"}},
        {
            "zoo_models/__init__.py": "raise RuntimeError('fragments are read, not imported')",
            "zoo_models/models.toml": '[models.mine]\nbase = "resnet50-clip"\nimage.train = "head"',
        },
    )
    assert zoo.available("models", "mine") == ["mine"]
    assert "zoo_models" not in sys.modules


@pytest.mark.parametrize(
    ("toml", "reason"),
    [
        ("schema_version = 'new'", "schema_version is 'new'; it is a whole number from 1"),
        ("[modles.mine]", "unknown table [modles]; .* Did you mean 'models'?"),
        (
            '[image_encoders.mine]\nfactory = "os:system"',
            "names a factory to import, which a registry",
        ),
        (
            '[image_encoders.mine]\nuse = "resnet50"\nagrs = {}',
            "unknown key 'agrs'. Did you mean 'args'",
        ),
        (
            '[image_encoders."mine/*"]\nuse = "resnet50"',
            "is a family, and a preset with use is one",
        ),
        ("[image_encoders.mine]", 'needs use = "NAME"'),
        (
            '[image_encoders.mine]\nuse = "resnet50"\noverride = true',
            "override is for the user's own",
        ),
    ],
)
def test_bad_fragment(install, toml, reason):
    install(
        "zoo-models",
        {"zoo.registries": {"models": "zoo_models:models.toml"}},
        {"zoo_models/__init__.py": "", "zoo_models/models.toml": toml},
    )
    failure = only_failure()
    assert "models.toml" in failure.reason
    for piece in reason.split(" .* "):
        assert piece in failure.reason


def test_fragment_that_is_not_there(install):
    install(
        "zoo-models",
        {"zoo.registries": {"models": "zoo_absent:models.toml"}},
    )
    assert "there is no package 'zoo_absent'" in only_failure().reason
