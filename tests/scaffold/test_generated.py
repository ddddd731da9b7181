"""A generated plugin of each kind is installed, and passes its own tests as it is."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.registry import as_kind, describe
from zoo.scaffold import PluginKind, write_plugin

ROOT = Path(__file__).parents[2]
KINDS = list(PluginKind)


SKIPPED = {
    "import-light",  # of plugins without hooks
    "families",  # no plugin here has one
    "tokens",  # of image encoders without `forward_tokens`
    "minimum-at-simplex",  # claims of losses
    "splits-over-processes",
    "several-positives",  # of losses that take no ids, no teacher, or are no sum over images
    "sums-over-images",
    "teacher",
}
"""Checks that do not apply to some of the plugins."""


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_it_passes_its_own_tests(tmp_path, pip_install, kind, request):
    from zoo.testing import checks_of

    if kind == "model":
        request.getfixturevalue("clip_in_hub_cache")  # for its tokenizer
    plugin = pip_install(write_plugin("zoo-mine", kind, tmp_path))
    tests = plugin.run("pytest", "-v")
    assert tests.returncode == 0, tests.stdout + tests.stderr
    found = re.findall(r"::test_conformance\[(.*): (.*)\] (PASSED|SKIPPED) ", tests.stdout)
    for subject, checks in (
        ("plugin zoo-mine", checks_of("plugin")),
        (describe(as_kind(kind)), checks_of(kind)),
    ):
        ran = {name for title, name, _ in found if title.startswith(subject)}
        assert ran == {check.name for check in checks}
    assert {name for _, name, verdict in found if verdict == "SKIPPED"} <= SKIPPED
    assert re.search(r"::test_(?!conformance).* PASSED ", tests.stdout)

    listed = plugin.run("zoo.list", "zoo-mine/*", "--strict")
    assert listed.returncode == 0, listed.stderr
    assert "zoo-mine 0.1.0" in listed.stdout
    if kind != "dataset":  # which is shown by training on it
        readme = (plugin.folder / "README.md").read_text()
        (command,) = re.findall(r"^zoo (show resnet.*|show mine)$", readme, re.MULTILINE)
        shown = plugin.run("zoo", *command.split())
        assert shown.returncode == 0, shown.stderr
        assert "zoo-mine 0.1.0" in shown.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_well_formed(tmp_path, kind):
    pytest.importorskip("ruff")
    folder = write_plugin("zoo-mine", kind, tmp_path)
    for words in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *words, "--config", str(ROOT / "pyproject.toml")]
        done = subprocess.run([*command, "--no-cache"], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_it_is_typed(tmp_path):
    pytest.importorskip("mypy")
    folders = [write_plugin(f"zoo-mine-{kind}", kind, tmp_path) for kind in KINDS]
    modules = [str(folder / folder.name.replace("-", "_")) for folder in folders]
    known = (
        ROOT / ".mypy_cache"
    )  # what zoo's own check knows of torch, which takes a minute to learn
    if known.is_dir():
        shutil.copytree(known, tmp_path / "cache")
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), "--strict"]
    command += ["--config-file", str(ROOT / "pyproject.toml")]
    done = subprocess.run([*command, *modules], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
