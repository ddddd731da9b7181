"""Killed at any moment, a folder is what it was or what it was to be."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import zoo
import zoo_tiny
from zoo.folder import swap
from zoo.folder.swap import drafted, standing

SAVER = """
import os, sys, torch, zoo, zoo_tiny
from zoo.folder import swap
if sys.argv[2] == "renames":
    swap._exchange = lambda one, other: False
model = zoo.build(zoo_tiny.SPEC)
number = 0
for _ in sys.stdin:
    number += 100
    child = os.fork()
    if child:
        print(child, flush=True)
        os.waitpid(child, 0)
        print("dead", flush=True)
        continue
    while True:
        number += 1
        with torch.no_grad():
            for each in [*model.parameters(), *model.loss.parameters()]:
                each.fill_(number)
        model.text_encoder.encoder.letters = "ab" + "c" * (number % 50)
        zoo.save(model, sys.argv[1], overwrite=True)
"""


def number_in(model):
    values = [each.unique().tolist() for each in [*model.parameters(), *model.loss.parameters()]]
    (number,) = {value for each in values for value in each}
    assert model.text_encoder.encoder.letters == "ab" + "c" * (int(number) % 50)
    return number


@pytest.mark.parametrize("way", ["exchange", "renames"])
def test_killed_at_random_moments(way, tmp_path, install):
    site = install("zoo-tiny", zoo_tiny.ENTRY_POINTS)
    folder = tmp_path / "models" / "model"
    chance = random.Random(4)
    here = [str(site), str(Path(zoo_tiny.__file__).parent), str(Path(zoo.__file__).parent.parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(here)}
    savers = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SAVER, folder, way],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    before = 0.0
    with savers:
        for _ in range(15):
            savers.stdin.write("go\n")
            savers.stdin.flush()
            child = int(savers.stdout.readline())
            while before == 0 and not standing(folder).exists():
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.1))
            os.kill(child, signal.SIGKILL)
            assert savers.stdout.readline() == "dead\n"
            number = number_in(zoo.load(folder))
            assert number >= before  # what a save had replaced does not come back
            before = number
    # What the killed ones left behind goes with the next save.
    zoo.save(zoo.build(zoo_tiny.SPEC), folder, overwrite=True)
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


STEPS = """
import importlib.util, os, pathlib, sys
spec = importlib.util.spec_from_file_location("swap", sys.argv[4])  # alone: torch takes seconds
swap = importlib.util.module_from_spec(spec)
spec.loader.exec_module(swap)
count = 0
def counted(function):
    def step(*args, **options):
        global count
        count += 1
        if count == int(sys.argv[2]):
            os._exit(9)
        return function(*args, **options)
    return step
if sys.argv[3] == "renames":
    swap._exchange = lambda one, other: False
swap.sync = counted(swap.sync)
swap._exchange = counted(swap._exchange)
swap.os.fsync = counted(swap.os.fsync)
pathlib.Path.rename = counted(pathlib.Path.rename)
swap.shutil.rmtree = counted(swap.shutil.rmtree)
with swap.drafted(pathlib.Path(sys.argv[1])) as draft:
    (draft / "a").write_text("new")
    (draft / "b").mkdir()
    (draft / "b" / "c").write_text("new")
print(count)
"""


@pytest.mark.parametrize("way", ["exchange", "renames"])
def test_stopped_before_each_step(way, tmp_path):
    """Every call that touches the disk, in turn, is the one that is not made any more."""
    outcomes = []
    for step in range(1, 30):
        target = tmp_path / f"place-{step}" / "model"
        (target / "b").mkdir(parents=True)
        for name in ("a", "b/c"):
            (target / name).write_text("old")
        done = subprocess.run(
            [sys.executable, "-c", STEPS, target, str(step), way, swap.__file__],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        found = {(standing(target) / name).read_text() for name in ("a", "b/c")}
        assert len(found) == 1, f"half of each after step {step}"
        outcomes += found
        with drafted(target) as draft:
            (draft / "a").write_text("newest")
        assert [path.name for path in target.parent.iterdir()] == ["model"]
        assert (target / "a").read_text() == "newest"
        if done.returncode == 0:
            break
        assert done.returncode == 9, done.stderr
    assert done.stdout
    assert outcomes == sorted(outcomes, reverse=True)  # old until one step, new from there on
    assert set(outcomes) == {"old", "new"}


def test_one_writer_does_not_take_away_anothers_draft(tmp_path):
    with drafted(tmp_path / "model") as first:
        (first / "a").write_text("first")
        with drafted(tmp_path / "model") as second:
            (second / "a").write_text("second")
        assert (first / "a").exists()
    assert (tmp_path / "model" / "a").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_draft_that_is_tidied_away_before_it_is_held(tmp_path, monkeypatch):
    make, made = swap.tempfile.mkdtemp, []

    def tidied(**options):
        made.append(make(**options))
        if len(made) == 1:
            swap._tidy(tmp_path / "model")
        return made[-1]

    monkeypatch.setattr(swap.tempfile, "mkdtemp", tidied)
    with drafted(tmp_path / "model") as draft:
        (draft / "a").write_text("x")
    assert len(made) == 2
    assert (tmp_path / "model" / "a").read_text() == "x"


def test_names_with_wildcards(tmp_path):
    (tmp_path / ".mxdel.abc.draft").mkdir()
    (tmp_path / ".m[xyz]del.abc.draft").mkdir()
    with drafted(tmp_path / "m[xyz]del"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mxdel.abc.draft", "m[xyz]del"]


@pytest.mark.skipif(sys.platform != "linux", reason="renameat2 is Linux's")
def test_linux_exchanges_in_one_call(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert swap._exchange(tmp_path / "one", tmp_path / "other")
    assert (tmp_path / "one" / "other").exists()
    assert not swap._exchange(tmp_path / "one", tmp_path / "missing")


def test_a_model_that_is_replaced_while_it_is_read(tmp_path, install, monkeypatch):
    """Old manifest and new tensors would fit each other, and be no model that anybody saved."""
    install("zoo-tiny", zoo_tiny.ENTRY_POINTS)
    torch.manual_seed(1)
    models = [zoo.build(zoo_tiny.SPEC) for _ in range(2)]
    folder = zoo.save(models[0], tmp_path / "model")
    other = zoo.save(models[1], tmp_path / "other")
    from zoo.folder import read

    whole, replaced = read.read_tensors, []

    def replace_first(path):
        if not replaced:
            replaced.append(swap._exchange(folder, other) or shutil.move(folder, tmp_path / "x"))
        return whole(path)

    monkeypatch.setattr(read, "read_tensors", replace_first)
    again = zoo.load(folder)
    assert torch.equal(
        again.image_encoder.head.proj.weight, models[1].image_encoder.head.proj.weight
    )
