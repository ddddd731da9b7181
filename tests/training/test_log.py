"""What a run writes down as it goes, checked against what its observers were told."""

import json
import os

import pytest

from zoo.errors import CheckpointError, FolderError
from zoo.training.log import Log
from zoo.training.loop import train
from zoo.training.observer import Observer
from zoo.training.run_folder import RunFolder


class Watch(Observer):
    """Keeps all that it is told."""

    def __init__(self):
        self.starts, self.steps, self.epochs, self.ends = [], [], [], 0

    def on_start(self, start):
        self.starts.append(start)

    def on_step(self, step):
        self.steps.append(step)

    def on_epoch(self, epoch):
        self.epochs.append(epoch)

    def on_end(self):
        self.ends += 1


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_log_has_what_observers_are_told(model, pairs, recipe, tmp_path):
    watch, other = Watch(), Watch()
    asked = recipe(steps=8, sampling="pair", log_every=3, evaluation={"every": 2})
    used = train(
        model(),
        pairs,
        asked,
        judge=lambda: {"recall": 0.25},
        observers=[watch, other],
        folder=tmp_path / "run",
    )
    (start,) = watch.starts
    assert (start.recipe, start.steps, start.steps_per_epoch, start.done) == (used, 8, 3, 0)
    assert watch.steps == other.steps
    assert [(each.number, each.epoch, each.pairs) for each in watch.steps] == [
        (number, 1 + (number - 1) // 3, 4) for number in range(1, 9)
    ]
    assert [each.step for each in watch.epochs] == [3, 6, 8]
    assert watch.ends == other.ends == 1

    written = lines(RunFolder(tmp_path / "run").log)
    trained = [each for each in written if "loss" in each]
    assert [each["step"] for each in trained] == [3, 6, 8]
    assert [each["epoch"] for each in trained] == [1, 2, 3]
    losses = [each.outcome.loss for each in watch.steps]
    for line, of in zip(trained, (losses[:3], losses[3:6], losses[6:]), strict=True):
        assert line["loss"] == pytest.approx(sum(of) / len(of), rel=1e-12)
        outcome = watch.steps[line["step"] - 1].outcome
        assert line["learning_rate"] == outcome.learning_rate
        assert line["grad_norm"] == outcome.grad_norm > 0
        assert line["temperature"] == outcome.temperature > 0
        assert line["unreadable"] == 0
        assert set(line) == {
            *("step", "epoch", "loss", "learning_rate", "grad_norm", "temperature", "unreadable")
        }
    assert [each for each in written if "loss" not in each] == [
        {"step": 6, "epoch": 2, "validation": {"recall": 0.25}},
        {"step": 8, "epoch": 3, "validation": {"recall": 0.25}},
    ]
    assert [each["step"] for each in written] == [3, 6, 6, 8, 8]


def test_times_are_in_a_file_of_their_own(model, pairs, recipe, tmp_path):
    train(model(), pairs, recipe(steps=6, sampling="pair", log_every=2), folder=tmp_path / "run")
    timed = lines(RunFolder(tmp_path / "run").timing)
    assert [each["step"] for each in timed] == [2, 4, 6]
    for each in timed:
        assert each["pairs_per_second"] == pytest.approx(4 / each["seconds"], rel=0.02)
        assert 0.05 < each["memory_gb"] < 64
    assert len(lines(RunFolder(tmp_path / "run").log)) == 3


def test_pictures_that_cannot_be_read_are_named(model, pairs, recipe, tmp_path):
    whole, lacking = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "lacking")
    asked = recipe(epochs=2, sampling="pair", unreadable=0.2)
    train(model("full"), pairs, asked, folder=whole.path)
    assert not whole.unreadable.exists()
    pairs[3].picture.write_text("no picture")
    train(model("full"), pairs, asked, folder=lacking.path)
    said = lacking.unreadable.read_text()
    assert said.startswith("2 of 24 pictures could not be read:\n")
    assert str(pairs[3].picture) in said
    counts = [each["unreadable"] for each in lines(lacking.log)]
    assert counts == sorted(counts)
    assert counts[-1] == 2


def test_some_two_hundred_lines(recipe):
    from zoo.training.log import log_interval

    assert [log_interval(recipe(), steps) for steps in (10, 399, 400, 100_000)] == [1, 1, 2, 500]
    assert log_interval(recipe(log_every=7), 100_000) == 7


def test_the_same_run_writes_the_same_log(model, pairs, recipe, tmp_path):
    built = {"image.head.args.dropout": 0.3}
    for name, workers in (("one", 0), ("other", 1)):
        asked = recipe(epochs=2, workers=workers)
        train(model("full", "full", built), pairs, asked, folder=tmp_path / name)
    one, other = (RunFolder(tmp_path / name).log.read_bytes() for name in ("one", "other"))
    assert one == other
    assert len(one.splitlines()) == 2


def test_a_folder_of_a_run_is_not_taken_by_chance(model, pairs, recipe, tmp_path):
    folder = RunFolder(tmp_path / "run")
    train(model(), pairs, recipe(steps=1), folder=folder.path)
    before = folder.log.read_bytes()
    with pytest.raises(
        FolderError, match=r"run: holds a run already; go on with it by --resume \(resume=True in"
    ):
        train(model(), pairs, recipe(steps=2), folder=folder.path)
    assert folder.log.read_bytes() == before
    folder.report.write_text("of the former run")
    (folder.path / "mine.txt").write_text("mine")
    train(model(), pairs, recipe(steps=2), folder=folder.path, overwrite=True)
    assert len(lines(folder.log)) == 2
    assert not folder.report.exists()
    assert (folder.path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_something_else_is_left_alone(model, pairs, recipe, tmp_path, overwrite):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    with pytest.raises(FolderError, match=r"holds something that is not a run: thesis.tex; choose"):
        train(model(), pairs, recipe(), folder=tmp_path / "mine", overwrite=overwrite)
    assert [each.name for each in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    with pytest.raises(FolderError, match=r"thesis.tex: is a file; a run is kept in a folder"):
        train(model(), pairs, recipe(), folder=tmp_path / "mine" / "thesis.tex")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no full device")
def test_a_log_on_a_full_disk_says_so(model, pairs, recipe, tmp_path, monkeypatch):
    full = tmp_path / "full.jsonl"
    full.symlink_to("/dev/full")
    watch = Watch()
    with pytest.raises(
        CheckpointError, match=r"full.jsonl: cannot be written: No space left on device; the run"
    ):
        train(
            model(),
            pairs,
            recipe(steps=3),
            observers=[watch, Log(full, tmp_path / "timing.jsonl")],
        )
    assert (len(watch.steps), watch.ends) == (1, 1)


def test_seeds_of_steps_differ_and_repeat():
    import torch

    from zoo.training.execution import seed_step

    def drawn(*place):
        seed_step(*place)
        return torch.rand(4).tolist()

    places = [(0, 1, 0), (0, 2, 0), (0, 1, 1), (1, 1, 0), (1, 0, 0)]
    assert len({tuple(drawn(*place)) for place in places}) == len(places)
    assert drawn(0, 2, 0) == drawn(0, 2, 0)
