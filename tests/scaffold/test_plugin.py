"""What `write_plugin` writes, and what it refuses to write."""

import os
import stat
import sys
import tomllib

import pytest
from packaging.requirements import Requirement

from zoo.errors import FolderError, RegistryError
from zoo.registry.requirements import range_from
from zoo.scaffold import PluginKind, plugin, write_plugin

KINDS = list(PluginKind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_complete_distribution(tmp_path, kind):
    folder = write_plugin("zoo-mine", kind, tmp_path)
    assert folder == tmp_path / "zoo-mine"
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert written >= {
        ".github/workflows/ci.yml",
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "tests/test_zoo_mine.py",
        "zoo_mine/__init__.py",
        "zoo_mine/py.typed",
    }
    for file in written:
        text = (folder / file).read_text(encoding="utf-8")
        assert "$" not in text.replace("${{ matrix.python-version }}", ""), file
        assert "MODULE" not in file + text
        if file.endswith(".py"):
            compile(text, file, "exec")
            assert text.startswith('"""')
    assert list(tmp_path.iterdir()) == [folder]
    if sys.platform != "win32":
        (tmp_path / "like-any-other").mkdir()
        mode = (tmp_path / "like-any-other").stat().st_mode
        assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(mode)


@pytest.mark.parametrize("kind", KINDS)
def test_its_metadata(tmp_path, kind):
    folder = write_plugin("zoo-mine", kind, tmp_path)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "zoo-mine"
    assert project["dependencies"] == ["clip-zoo>=0.1,<0.2"]
    assert project["optional-dependencies"] == {"test": ["pytest>=8.3"]}
    assert "license" not in project
    ((group, entries),) = project["entry-points"].items()
    ((name, value),) = entries.items()
    module, _, rest = value.partition(":")
    where = folder / module.replace(".", "/")
    assert (where / rest if rest.endswith(".toml") else where.with_suffix(".py")).is_file()
    assert (group, name) == {
        "image-encoder": ("zoo.image_encoders", "mine"),
        "text-encoder": ("zoo.text_encoders", "mine"),
        "head": ("zoo.plugins", "hooks"),
        "loss": ("zoo.plugins", "hooks"),
        "dataset": ("zoo.datasets", "mine"),
        "model": ("zoo.registries", "models"),
    }[kind]


@pytest.mark.parametrize(
    ("installed", "asked"),
    [
        ("0.1.0", "clip-zoo>=0.1,<0.2"),
        ("0.9.0rc1", "clip-zoo>=0.9.0rc1,<0.10"),
        ("0.12.3.dev4", "clip-zoo>=0.12,<0.13"),
        ("1.0", "clip-zoo>=1.0,<2"),
        ("2.3.1", "clip-zoo>=2.3,<3"),
    ],
)
def test_it_asks_for_the_zoo_that_wrote_it(installed, asked):
    assert range_from(installed) == asked
    assert Requirement(asked).specifier.contains(installed, prereleases=True)


def test_a_name_without_zoo_in_front(tmp_path):
    folder = write_plugin("mine-too", PluginKind.LOSS, tmp_path)
    assert '"mine-too",' in (folder / "mine_too" / "hooks.py").read_text()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Zoo Mine", r"^the name 'Zoo Mine' is not legal; .* Did you mean 'zoo-mine'\?$"),
        ("zoo_mine", r"not legal; .* Did you mean 'zoo-mine'\?"),
        ("zoo-", "not legal"),
        ("3d-clip", r"starting with a letter, such as 'zoo-mine'. Did you mean 'd-clip'\?"),
        ("../mine", r"not legal; .* Did you mean 'mine'\?"),
        ("a/b", "not legal"),
        ("mine\n", "not legal"),
        ("ünïcode", "not legal"),
        ("", r"^the name '' is not legal; .* such as 'zoo-mine'.$"),
        ("class", "^the name 'class' is a keyword of Python, .* such as 'zoo-class'$"),
        ("tests", "^the module 'tests' would be mixed up with the folder 'tests' .* 'zoo-tests'$"),
        (
            "torch",
            r"^the module 'torch' would hide one that is here already \(.*__init__.py\); cho",
        ),
        ("zoo", "^the module 'zoo' would hide one that is here already"),
        ("json", "^the module 'json' would hide one that is here already"),
        (
            "clip-zoo",
            r"^the distribution 'clip-zoo' is installed already \(version 0.*\); choose .* if it is yours$",
        ),
        (
            "zoo-resnet50",
            "^the image encoder name 'resnet50' is built in, and a plugin cannot replace it; choose "
            "another name, such as 'zoo-my-resnet50'$",
        ),
    ],
)
def test_names_that_are_refused(tmp_path, name, said):
    with pytest.raises(RegistryError, match=said):
        write_plugin(name, PluginKind.IMAGE_ENCODER, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("text-encoder", "clip-vit-b32"),
        ("head", "linear"),
        ("loss", "info-nce"),
        ("model", "swin-tiny-clip"),
    ],
)
def test_a_built_in_name_of_the_same_kind(tmp_path, kind, name):
    with pytest.raises(RegistryError, match=f" name '{name}' is built in"):
        write_plugin(f"zoo-{name}", PluginKind(kind), tmp_path)
    write_plugin(f"zoo-{name}", PluginKind.DATASET, tmp_path)  # another kind has room for it


def test_what_exists_is_never_touched(tmp_path):
    (tmp_path / "zoo-empty").mkdir()
    (tmp_path / "zoo-full").mkdir()
    (tmp_path / "zoo-full" / "thesis.tex").write_text("years")
    (tmp_path / "zoo-file").write_text("years")
    (tmp_path / "zoo-link").symlink_to("nowhere")
    before = sorted(tmp_path.rglob("*"))
    for name in ("zoo-empty", "zoo-full", "zoo-file", "zoo-link"):
        with pytest.raises(FolderError, match=f"{name} exists already, and is left as it is"):
            write_plugin(name, PluginKind.HEAD, tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "zoo-full" / "thesis.tex").read_text() == "years"
    assert (tmp_path / "zoo-file").read_text() == "years"


def test_no_folder_to_put_it_in(tmp_path):
    (tmp_path / "file").write_text("")
    for parent in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(FolderError, match=f"{parent}: there is no such folder to put the plug"):
            write_plugin("zoo-mine", PluginKind.HEAD, parent)
    assert os.listdir(tmp_path) == ["file"]


def test_nothing_partial_is_left(tmp_path, monkeypatch):
    (tmp_path / "templates" / "common").mkdir(parents=True)
    (tmp_path / "templates" / "common" / "a.tmpl").write_text("$name")
    (tmp_path / "templates" / "common" / "b.tmpl").write_text("$nothing")
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(plugin, "_TEMPLATES", tmp_path / "templates")
    with pytest.raises(KeyError, match="nothing"):
        write_plugin("zoo-mine", PluginKind.HEAD, tmp_path / "here")
    assert list((tmp_path / "here").iterdir()) == []
