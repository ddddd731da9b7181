"""Whatever is installed, `python -m zoo.list` lists all that is sound, and says what is not and why."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from registry.menagerie import ANIMALS, ODD, PAIR, SOUND, distribution

import zoo
from zoo.registry import catalog

pytestmark = pytest.mark.alone
LIMIT = 1.5
"""Seconds for one animal: half for a slow one, and room for a busy machine."""


def listing(
    paths: list[Path], cwd: Path, *options: str
) -> tuple[subprocess.CompletedProcess, float]:
    """`python -m zoo.list` in a process of its own, with these folders on the path."""
    environment = {key: value for key, value in os.environ.items() if key != "ZOO_PLUGINS"}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, paths))
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "zoo.list", *options],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    return done, time.perf_counter() - start


def names(done: subprocess.CompletedProcess) -> set[str]:
    return {each["name"] for each in json.loads(done.stdout)["components"]}


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> list[Path]:
    return SOUND(tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def menagerie(tmp_path_factory, sound) -> list[Path]:
    """All animals at once, the sound one last."""
    folder = tmp_path_factory.mktemp("menagerie")
    paths = [path for name, animal in ANIMALS.items() for path in animal.write(folder / name)]
    paths += [path for name, write in ODD.items() for path in write(folder / name)]
    return [*paths, *PAIR(folder / "pair"), *sound]


@pytest.fixture(scope="module")
def without(sound, tmp_path_factory) -> set[str]:
    """What is listed when nothing is broken."""
    done, _ = listing(sound, tmp_path_factory.mktemp("empty"), "--json")
    assert done.returncode == 0
    assert {"sound-head", "sound-encoder", "sound-clip", "resnet50-clip"} <= names(done)
    return names(done)


@pytest.mark.parametrize("name", ANIMALS)
def test_an_animal_hurts_only_itself(name, sound, without, tmp_path):
    animal = ANIMALS[name]
    paths = [*animal.write(tmp_path / name), *sound]
    text, first = listing(paths, tmp_path)
    assert text.returncode == 0, text.stderr
    said = [each for each in text.stdout.splitlines() if each.startswith("FAILED")]
    assert [each for each in said if animal.origin in each and animal.reason in each], said
    assert "sound-head" in text.stdout

    data, second = listing(paths, tmp_path, "--json", "--strict")
    assert data.returncode == 1
    assert names(data) == without | set(animal.keeps)
    failures = json.loads(data.stdout)["failures"]
    named = [each for each in failures if animal.origin.startswith(each["origin"]["name"])]
    assert [each for each in named if animal.reason in each["reason"]]
    assert min(first, second) < LIMIT


def test_two_with_one_name_are_no_failure(sound, without, tmp_path):
    done, _ = listing([*PAIR(tmp_path / "pair"), *sound], tmp_path, "--json", "--strict")
    assert done.returncode == 0
    assert names(done) == without | {"zoo-pair-a/pair", "zoo-pair-b/pair"}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_one_is_sound(name, sound, without, tmp_path):
    done, seconds = listing([*ODD[name](tmp_path / name), *sound], tmp_path, "--json", "--strict")
    assert json.loads(done.stdout)["failures"] == []
    assert done.returncode == 0
    assert done.stderr == ""
    assert names(done) == without | {name}
    assert seconds < LIMIT


def test_a_terminal_that_knows_ascii_only(sound, tmp_path, monkeypatch):
    toml = '[models.plain]\nbase = "resnet50-clip"\nsummary = "\\u00e9l\\u00e9gant"\n'
    files = {"zoo_plain/__init__.py": "", "zoo_plain/models.toml": toml}
    entries = {"zoo.registries": {"models": "zoo_plain:models.toml"}}
    paths = [*distribution("zoo-plain", entries, files)(tmp_path / "plain"), *sound]
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert r"\xe9l\xe9gant" in listing(paths, tmp_path, "plain")[0].stdout
    data = json.loads(listing(paths, tmp_path, "plain", "--json")[0].stdout)
    assert data["components"][0]["summary"] == "élégant"


def test_the_whole_menagerie_in_a_second(menagerie, sound, without, tmp_path):
    runs = [listing(menagerie, tmp_path, "--json") for _ in range(3)]
    done = runs[0][0]
    kept = {name for animal in ANIMALS.values() for name in animal.keeps}
    assert names(done) == without | kept | {"zoo-pair-a/pair", "zoo-pair-b/pair", *ODD}
    failed = {
        " ".join(filter(None, (each["origin"]["name"], each["origin"]["version"])))
        for each in json.loads(done.stdout)["failures"]
    }
    assert failed >= {animal.origin for animal in ANIMALS.values()}
    # Half a second is for those that never answer, however many; on a busy machine all is slower.
    alone = min(listing(sound, tmp_path)[1] for _ in range(3))
    assert min(seconds for _, seconds in runs) < max(1.0, 0.5 + 3 * alone)


def test_others_build_amid_the_menagerie(menagerie, monkeypatch):
    monkeypatch.delenv("ZOO_PLUGINS")
    monkeypatch.setattr("zoo.registry.plugins.SECONDS", 2.0)  # for those that never answer
    broken = tuple(name for name, animal in ANIMALS.items() if animal.breaks_python)
    for path in reversed(menagerie):
        if path.name not in broken:
            monkeypatch.syspath_prepend(path)
    catalog.cache_clear()
    model = zoo.build(
        "sound-clip",
        pretrained=False,
        towers=["image"],
        overrides={"image.encoder": "timm/resnet10t", "image.head": "sound-head"},
    )
    assert model.provenance["image.head"]["origin"]["name"] == "zoo-sound"
    assert len(catalog().failures) >= len(ANIMALS) - len(broken)
