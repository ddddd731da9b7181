"""Plugins: what they add, whom they never replace, and what a broken one does."""

import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from zoo.errors import AmbiguousNameError, PluginError, UnknownNameError
from zoo.registry import catalog

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


def only_failure():
    (failure,) = catalog().failures
    return failure


def test_entry_point_is_listed_without_import(install):
    install(
        "zoo-third",
        {"zoo.image_encoders": {"third": "module_that_explodes:create"}},
        {"module_that_explodes.py": "raise SystemExit('imported')"},
    )
    assert "third" in zoo.available("image_encoders")
    component = catalog().find("image_encoders", "third").component
    assert str(component.origin) == "zoo-third 1.0"
    assert catalog().find("image_encoders", "zoo-third/third").component == component


def test_plugin_family(install):
    install("zoo-third", {"zoo.text_encoders": {"open_clip/*": "third:create"}})
    assert catalog().find("text_encoders", "open_clip/ViT-B-32").rest == "ViT-B-32"
    assert catalog().find("text_encoders", "zoo-third/open_clip/ViT-B-32").rest == "ViT-B-32"


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


def test_plugin_never_shadows_a_built_in(install):
    install("zoo-rude", {"zoo.image_encoders": {"resnet50": "rude:create"}})
    assert catalog().find("image_encoders", "resnet50").component.origin.name == "clip-zoo"
    assert "'resnet50' is built in and cannot be replaced" in only_failure().reason
    assert catalog().find("image_encoders", "zoo-rude/resnet50").component.target == "rude:create"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ValueError('no such luck')", "ValueError: no such luck"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import not_installed_anywhere", "ModuleNotFoundError: No module named 'not_installed"),
        (
            "from zoo import hookimpl\n@hookimpl\ndef zoo_heds(): return []",
            "unknown hook 'zoo_heds'",
        ),
        (
            "from zoo import hookimpl\n@hookimpl\ndef zoo_losses(): return 'mine'",
            "zoo_losses() returned 'mine'; it returns a list of HookedComponent",
        ),
        (
            "from zoo import hookimpl\n@hookimpl\ndef zoo_losses(): return ['mine']",
            "returned 'mine' in its list; each is a HookedComponent",
        ),
        (
            "from zoo import hookimpl\n@hookimpl\ndef zoo_losses(): raise KeyError('deep')",
            "KeyError: 'deep'",
        ),
        (
            "from zoo import hookimpl, HookedComponent as H\n@hookimpl\n"
            "def zoo_losses(): return [H('mine', 'mine.Loss', '')]",
            "the target of 'mine' is 'mine.Loss'; write 'module:attribute'",
        ),
        (
            "from zoo import hookimpl, HookedComponent as H\n@hookimpl\n"
            "def zoo_losses(): return [H('My Loss', 'mine:Loss', '')]",
            "loss name 'My Loss' is not legal",
        ),
    ],
)
def test_broken_hook_module_hurts_only_itself(install, code, reason):
    install("zoo-broken", {"zoo.plugins": {"hooks": "broken_hooks"}}, {"broken_hooks.py": code})
    hooks(install, "zoo-sound")
    sys.modules.pop("broken_hooks", None)
    failure = only_failure()
    assert str(failure.origin) == "zoo-broken 1.0"
    assert reason in failure.reason
    assert "wide" in zoo.available("heads")
    assert catalog().find("models", "resnet50-clip")


def test_a_hook_that_returns_nothing(install):
    code = "from zoo import hookimpl\n@hookimpl\ndef zoo_losses(): pass"
    install("zoo-silent", {"zoo.plugins": {"hooks": "silent_hooks"}}, {"silent_hooks.py": code})
    assert "zoo_losses() returned None" in only_failure().reason


def test_a_hooks_summary_must_be_text(install):
    code = (
        "from zoo import hookimpl, HookedComponent as H\n@hookimpl\n"
        "def zoo_losses(): return [H('mine', 'mine:Loss', 5)]"
    )
    install("zoo-number", {"zoo.plugins": {"hooks": "number_hooks"}}, {"number_hooks.py": code})
    assert "the summary of HookedComponent(name='mine'" in only_failure().reason


def test_damaged_metadata_hurts_only_itself(install):
    broken = install("zoo-broken", {"zoo.image_encoders": {"a": "b:c"}})
    next(broken.glob("*.dist-info/METADATA")).unlink()
    odd = install("zoo-odd", {"zoo.image_encoders": {"odd": "x:y"}})
    next(odd.glob("*.dist-info/entry_points.txt")).write_text(
        "[zoo.image_encoders]\nno equals sign\n"
    )
    hooks(install, "zoo-sound")
    assert "wide" in zoo.available("heads")
    said = {failure.origin.name: failure.reason for failure in catalog().failures}
    assert "metadata cannot be read" in said["zoo_broken-1.0"]
    assert "its entry points cannot be read" in said["zoo-odd"]


def test_one_distribution_with_a_name_twice(install):
    install(
        "zoo-twice",
        {
            "zoo.image_encoders": {"mine": "mine:create"},
            "zoo.registries": {"models": "zoo_twice:models.toml"},
        },
        {
            "zoo_twice/__init__.py": "",
            "zoo_twice/models.toml": '[image_encoders.mine]\nuse = "resnet50"',
        },
    )
    assert "zoo-twice 1.0 offers the image encoder name 'mine' twice" in only_failure().reason
    assert catalog().find("image_encoders", "mine").component.target == "mine:create"


def test_a_stale_copy_further_down_the_path_is_not_seen(install):
    install("zoo-twin", {"zoo.image_encoders": {"mine": "old:create"}}, version="1.0")
    (only,) = [c for c in catalog().select("image_encoders") if c.name == "mine"]
    assert only.target == "old:create"
    sys.path.append(sys.path.pop(0))  # the copy with the same name, further down
    site = Path(sys.path[-1])
    newer = site.parent / "newer"
    info = newer / "zoo_twin-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Zoo_Twin\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text("[zoo.image_encoders]\nmine = new:create\n")
    sys.path.insert(0, str(newer))
    catalog.cache_clear()
    (only,) = [c for c in catalog().select("image_encoders") if c.name == "mine"]
    assert (only.target, only.origin.version) == ("new:create", "2.0")
    assert catalog().find("image_encoders", "zoo-twin/mine").component == only


def test_extras_in_an_entry_point_are_no_part_of_the_target(install):
    install("zoo-extra", {"zoo.image_encoders": {"mine": "mine:create [gpu]"}})
    assert catalog().find("image_encoders", "mine").component.target == "mine:create"


def test_a_distribution_named_like_a_family_does_not_hide_it(install):
    install("timm", {"zoo.image_encoders": {"resnet18": "mine:create"}})
    assert catalog().find("image_encoders", "timm/resnet18").component.name == "timm/*"


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


def test_allow_list_with_a_name_that_is_not_installed(install, monkeypatch):
    hooks(install, "zoo-alpha")
    monkeypatch.setenv("ZOO_PLUGINS", "zoo-alpah")
    assert "'zoo-alpah', and no such plugin is installed. Did you mean 'zoo-alpha'?" in (
        only_failure().reason
    )


def test_fence_keeps_torch_out_of_listings(install):
    site = install(
        "zoo-heavy",
        {"zoo.plugins": {"hooks": "heavy_hooks"}},
        {
            "heavy_hooks.py": (
                "try:\n    import torch\nexcept ImportError:\n    torch = None\nfrom zoo import hookimpl"
            )
        },
    )
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "from zoo.registry import catalog\n"
        "print([f.reason for f in catalog().failures if f.origin.name == 'zoo-heavy'])\n"
        "print(sorted({'torch', 'timm', 'transformers', 'torchvision'} & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "the hook module imports 'torch', which makes every listing slow" in said[0]
    assert said[1] == "[]"


def test_what_a_plugin_prints_stays_out_of_json(install, capsys):
    install(
        "zoo-chatty",
        {"zoo.plugins": {"hooks": "chatty_hooks"}},
        {"chatty_hooks.py": "print('hello')"},
    )
    catalog()
    assert capsys.readouterr().out == ""


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
        ("[models.mine", "not valid TOML"),
        ("schema_version = 99", "schema_version is 99, and this zoo reads up to 1; upgrade"),
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
