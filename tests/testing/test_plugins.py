"""Checks of whole distributions and their named models; the three ways to run the kit."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from zoo.cli.main import app
from zoo.errors import ArgumentError, RegistryError, UnknownNameError
from zoo.testing import cases_of_factory, cases_of_name, cases_of_plugin, run

HOOKS = """
from zoo import HookedComponent, hookimpl

@hookimpl
def zoo_projection_heads():
    return [HookedComponent("plain", "{module}_head:Head", "{summary}")]
"""
HEAD = """
from torch import nn

class Head(nn.Linear):
    def __init__(self, *, in_dim: int, out_dim: int) -> None:
        super().__init__(in_dim, out_dim)
"""
RANGE = ("clip-zoo>=0.1,<0.2",)


@pytest.fixture
def plugin(install):
    """A distribution with a head and what else is asked for."""

    def write(
        dist="zoo-plain", hooks=HOOKS, head=HEAD, requires=RANGE, summary="one map", **groups
    ):
        module = dist.replace("-", "_")
        models = groups.pop("models", None)
        entry_points = {"zoo.plugins": {"hooks": f"{module}_hooks"}, **groups}
        files = {
            f"{module}_hooks.py": hooks.format(module=module, summary=summary),
            f"{module}_head.py": head,
        }
        if models is not None:
            entry_points["zoo.registries"] = {"models": f"{module}:models.toml"}
            files |= {f"{module}/__init__.py": "", f"{module}/models.toml": models}
        return install(dist, entry_points, files, requires=requires)

    return write


def outcome(dist, title, **options):
    (found,) = [case for case in cases_of_plugin(dist, **options) if case.title == title]
    return run(found)


def test_a_sound_plugin_passes(plugin):
    model = '[models.small]\nbase = "resnet50-clip"\nsummary = "small"\nimage.head = "plain"'
    plugin("zoo-tidy", models=model)
    outcomes = [run(case) for case in cases_of_plugin("zoo-tidy") if "builds" not in case.title]
    assert [each for each in outcomes if each.verdict == "failed"] == []
    assert {each.case.subject.name for each in outcomes} == {"zoo-tidy", "plain", "small"}


def test_loads(plugin):
    plugin("zoo-shadow", **{"zoo.image_encoders": {"resnet50": "zoo_shadow_head:Head"}})
    failed = outcome("zoo-shadow", "plugin zoo-shadow: loads")
    assert failed.verdict == "failed"
    assert "'resnet50' is built in and cannot be replaced by a plugin" in failed.message


def test_a_plugin_without_a_name_fails(install):
    install("zoo-empty", {"zoo.registries": {"models": "empty:models.toml"}}, requires=RANGE)
    assert outcome("zoo-empty", "plugin zoo-empty: loads").verdict == "failed"


def test_targets(plugin):
    plugin("zoo-target", head="raise ImportError('no such luck')\nclass Head: pass")
    failed = outcome("zoo-target", "plugin zoo-target: targets")
    assert failed.verdict == "failed"
    assert "ImportError: no such luck" in failed.message


def test_what_cannot_be_imported_fails_alone(plugin):
    plugin(
        "zoo-half",
        head="raise ImportError('no such luck')\nclass Head: pass",
        **{"zoo.image_encoders": {"sound": "wrong_components:ImageEncoder"}},
    )
    cases = cases_of_plugin("zoo-half")
    heads = {each.check.name: run(each) for each in cases if each.subject.name == "plain"}
    assert "ImportError: no such luck" in heads.pop("made").message
    heads.pop("expected-failures")
    assert {each.verdict for each in heads.values()} == {"does not apply"}
    assert heads["shapes"].message == "it cannot be imported, as the check 'made' says"
    sound = [run(each) for each in cases if each.subject.name == "sound"]
    assert sound
    assert [each for each in sound if each.verdict == "failed"] == []


@pytest.mark.parametrize(
    ("dist", "examples", "said"),
    [
        (
            "zoo-raises",
            "raise KeyError('no list')",
            "examples() beside the factory of 'plain' fails: KeyError",
        ),
        (
            "zoo-typo",
            "return [{'nmae': 'plain'}]",
            "an example is a name, or a table of name, args, weights",
        ),
    ],
)
def test_examples_that_fail(plugin, dist, examples, said):
    plugin(dist, head=f"{HEAD}\ndef examples():\n    {examples}")
    failed = outcome(dist, f"plugin {dist}: targets")
    assert failed.verdict == "failed"
    assert said in failed.message
    assert outcome(dist, "projection head plain: made").verdict == "passed"


WIDE = """
from torch import nn

class Head(nn.Module):
    def __init__(self, *, in_dim: int, out_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(in_dim, hidden_dim), nn.Linear(hidden_dim, out_dim))

    def forward(self, features):
        return self.layers(features)
"""
SEVEN = {"name": "plain", "args": {"hidden_dim": 7}}


def test_arguments_to_check_with(plugin):
    plugin("zoo-wide", head=f"{WIDE}\ndef examples():\n    return [{SEVEN}]")
    outcomes = [run(each) for each in cases_of_plugin("zoo-wide") if each.subject.kind != "plugin"]
    assert {each.case.subject.name for each in outcomes} == {"plain(hidden_dim=7)"}
    assert {each.verdict for each in outcomes} == {"passed"}


def test_arguments_in_the_marker_and_the_command(plugin):
    plugin("zoo-narrow", head=WIDE)
    bare = outcome("zoo-narrow", "projection head plain: made")
    assert "missing 1 required keyword-only argument: 'hidden_dim'" in bare.message
    title = "projection head plain(hidden_dim=7): made"
    assert outcome("zoo-narrow", title, examples={"plain": [SEVEN]}).verdict == "passed"
    with pytest.raises(
        RegistryError, match=r"examples: zoo-narrow has no component 'plian'. Did you mean 'plain'"
    ):
        cases_of_plugin("zoo-narrow", examples={"plian": [SEVEN]})
    words = ["check", "plain", "--arg", "hidden_dim=7", "--only", "made", "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["outcomes"][0]["name"] == "plain(hidden_dim=7)"


def test_arguments_for_what_takes_none(install):
    done = CliRunner().invoke(app, ["check", "resnet50-clip", "--arg", "x=1"])
    assert str(done.exception) == (
        "the model 'resnet50-clip' is checked without arguments, and got x; what it is made of is in "
        "its spec"
    )
    install(
        "zoo-pairs", {"zoo.datasets": {"pairs": "zoo_pairs:make"}}, {"zoo_pairs.py": "make = 1"}
    )
    with pytest.raises(ArgumentError, match="the dataset 'pairs' is checked without arguments"):
        cases_of_name("pairs", args={"size": 3})
    with pytest.raises(ArgumentError, match="and got size"):
        cases_of_factory("dataset", list, {"size": 3})


def test_a_family_is_refused_with_names_of_members():
    with pytest.raises(RegistryError, match=r"'timm/\*' is a family of names; .* timm/resnet10t,"):
        cases_of_name("timm/*")


def test_no_verdict_is_no_success():
    done = CliRunner().invoke(app, ["check", "info-nce", "--only", "loss nothing"])
    assert "no check has 'loss nothing' in its title" in str(done.exception)
    done = CliRunner().invoke(app, ["check", "vit-s16", "--only", "vit-s16: sizes"])
    assert done.exit_code == 1
    assert str(done.exception) == "none of 1 checks applies: nothing was found out"


def test_import_light(plugin):
    plugin("zoo-heavy", hooks="import importlib\nimportlib.import_module('PIL')\n" + HOOKS)
    assert outcome("zoo-heavy", "plugin zoo-heavy: import-light").verdict == "passed"
    plugin("zoo-torch", hooks="import torch\n" + HOOKS)  # torch is loaded here already
    failed = outcome("zoo-torch", "plugin zoo-torch: import-light")
    assert failed.verdict == "failed"
    assert (
        "zoo_torch_hooks import torch; move what needs it to a module that only" in failed.message
    )


def test_summaries(plugin):
    plugin("zoo-mute", summary="")
    failed = outcome("zoo-mute", "plugin zoo-mute: summaries")
    assert failed.verdict == "failed"
    assert "the projection head 'plain' has neither a summary nor a docstring" in failed.message


def test_families(plugin):
    family = {"zoo.image_encoders": {"tiny/*": "wrong_components:ImageEncoder"}}
    plugin("zoo-family", **family)
    failed = outcome("zoo-family", "plugin zoo-family: families")
    assert failed.verdict == "failed"
    assert "the module of 'tiny/*' has no examples() -> list[str] with a member" in failed.message


@pytest.mark.parametrize("stated", [(), ("clip-zoo",), ("clip-zoo>=0.1",), ("torch>=2,<3",)])
def test_requirement(plugin, stated):
    plugin("zoo-any", requires=stated)
    failed = outcome("zoo-any", "plugin zoo-any: requirement")
    assert failed.verdict == "failed"
    assert 'add to its dependencies, for example, "clip-zoo>=0.1,<0.2"' in failed.message


@pytest.mark.parametrize(
    ("check", "toml", "message"),
    [
        ("spec", 'summary = "s"\nimage.head = { name = "linear", args = { bais = true } }', "bais"),
        ("summary", "", "it has no summary"),
        ("builds", 'summary = "s"\nimage.head = "identity"', "keeps the encoder's 512 features"),
    ],
)
def test_models(plugin, check, toml, message):
    base = 'base = "resnet50-clip"\nimage.encoder = "timm/resnet10t"\nembedding_dim = 16\n'
    base += 'text.head = "linear"\n'
    plugin("zoo-models", models=f"[models.mine]\n{base}{toml.replace('summary', 'summary')}")
    text = f"[models.mine]\n{base}{toml}"
    if check == "summary":
        text += '\nsummary = ""'
    failed = outcome("zoo-models", f"model mine: {check}")
    assert failed.verdict == "failed"
    assert message in failed.message


def test_expected_failures_by_title(plugin):
    plugin("zoo-any", requires=())
    title = "plugin zoo-any: requirement"
    excused = outcome("zoo-any", title, expected={title: "it is never published"})
    assert excused.verdict == "expected failure"
    with pytest.raises(
        RegistryError, match=r"there is no case 'plugin zoo-any: requirment'. Did you"
    ):
        cases_of_plugin("zoo-any", expected={"plugin zoo-any: requirment": "why"})


def test_unknown_plugin_and_name(plugin):
    plugin("zoo-plain")
    with pytest.raises(RegistryError, match=r"no plugin 'zoo-plian' is installed. Did you mean"):
        cases_of_plugin("zoo-plian")
    with pytest.raises(UnknownNameError, match=r"nothing is called 'plian'. Did you mean 'plain'"):
        cases_of_name("plian")


def test_the_command_prints_every_check_and_how_many(plugin):
    plugin("zoo-plain")
    done = CliRunner().invoke(app, ["check", "plugin", "zoo-plain"])
    assert done.exit_code == 0, done.output
    count = len(cases_of_plugin("zoo-plain"))
    assert f"{count} checks in" in done.output
    assert f"{count - 1} passed, 0 failed, 0 failed as expected, 1 do not apply" in done.output
    assert "projection head plain" in done.output


def test_the_command_as_json_and_its_exit_status(plugin):
    plugin("zoo-any", requires=())
    done = CliRunner().invoke(app, ["check", "plugin", "zoo-any", "--only", "plugin", "--json"])
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert (said["checks"], said["failed"]) == (6, 1)
    (failed,) = [each for each in said["outcomes"] if each["verdict"] == "failed"]
    assert (failed["kind"], failed["name"], failed["check"]) == ("plugin", "zoo-any", "requirement")


def test_the_command_for_one_name():
    done = CliRunner().invoke(app, ["check", "linear", "--only", "shapes"])
    assert done.exit_code == 0
    assert "1 checks in" in done.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plugin"], "write 'zoo check plugin DIST', or one name or file"),
        (["linear", "zoo-plain"], "write 'zoo check plugin DIST', or one name or file"),
        (["mlp-gelu", "--arg", "hidden_dim"], "write --arg KEY=VALUE, as in --arg hidden_dim=64"),
        (["plugin", "zoo-plain", "--arg", "a=1"], "a plugin gives arguments in examples()"),
    ],
)
def test_wrong_usage(words, said):
    done = CliRunner().invoke(app, ["check", *words])
    assert done.exit_code == 2
    assert said in " ".join(done.output.replace("│", " ").split())


def test_a_filter_that_fits_no_check():
    done = CliRunner().invoke(app, ["check", "linear", "--only", "exprot"])
    assert isinstance(done.exception, Exception)
    assert "no check has 'exprot' in its title; the checks are arguments" in str(done.exception)


THREE_LINES = """
import pytest

@pytest.mark.zoo_plugin("zoo-plain"{options})
def test_conformance(zoo_check):
    zoo_check()
"""


def pytest_of(tmp_path, site, text):
    (tmp_path / "test_mine.py").write_text(text)
    path = f"import sys; sys.path.insert(0, {str(site)!r}); import pytest; "
    code = f"{path}sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-rA', 'test_mine.py']))"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )


@pytest.mark.long
def test_three_lines_of_an_author_become_a_test_a_check(plugin, tmp_path):
    site = plugin("zoo-plain")
    done = pytest_of(tmp_path, site, THREE_LINES.format(options=""))
    count = len(cases_of_plugin("zoo-plain"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{count - 2} passed, 2 skipped" in done.stdout or f"{count - 1} passed" in done.stdout
    assert "projection head plain: gradients" in done.stdout


@pytest.mark.long
def test_failures_and_excuses_in_pytest(plugin, tmp_path):
    site = plugin("zoo-plain", requires=())
    done = pytest_of(tmp_path, site, THREE_LINES.format(options=""))
    assert done.returncode == 1
    assert "it does not state the range of clip-zoo it works with" in done.stdout
    excuse = ', expected={"plugin zoo-plain: requirement": "it is never published"}'
    done = pytest_of(tmp_path, site, THREE_LINES.format(options=excuse))
    assert done.returncode == 0, done.stdout
    assert "1 xfailed" in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (THREE_LINES.format(options="").replace("zoo-plain", "zoo-plian"), "no plugin 'zoo-plian'"),
        ("def test_conformance(zoo_check):\n    zoo_check()", "does not say of which plugin; mark"),
    ],
)
def test_wrong_use_in_pytest_is_an_error(tmp_path, text, said):
    done = pytest_of(tmp_path, tmp_path, text)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
