"""Processes that are killed, stopped, or run out of disk, and what they leave behind."""

import io
import json
import os
import random
import re
import signal
import time

import pytest
from faults import Cell, battered, result, runs, whole
from PIL import Image

import layouts
from zoo.cli.console import resuming
from zoo.training.stopping import bear_signals, stopping


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with runs(tmp_path_factory.mktemp("faults")) as found:
        yield found


CELLS = [Cell(), Cell(workers=2, streamed=True), Cell(processes=2)]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_killed_at_random_moments_and_resumed(made, cell):
    expected, seconds = whole(made, cell)
    outcome = battered(made, cell, 3, expected, seconds, random.Random(2))
    assert outcome.identical
    assert outcome.in_checkpoint > 0


def test_one_of_two_processes_is_stopped_or_dies(made):
    """Told to stop, both end with a checkpoint; if it dies, the other one ends too, and both go on."""
    cell, name = Cell(processes=2), "one-of-two"
    expected, _ = whole(made, cell)
    ends = []
    for kind in (signal.SIGTERM, signal.SIGKILL):
        _, second = made.start(cell, name)
        lines = (
            len(log.read_bytes().splitlines())
            if (log := made.folder / name / "log.jsonl").exists()
            else 0
        )
        after_lines(lines + 1, lambda pid, kind=kind: os.kill(pid, kind))(
            second, made.folder / name
        )
        ends.append(made.ended())
    assert ends[0] == [128 + signal.SIGTERM] * 2
    assert ends[1][0] not in (0, -signal.SIGKILL)
    assert ends[1][1] == -signal.SIGKILL
    made.start(cell, name)
    assert made.ended() == [0, 0]
    assert result(made.folder / name) == expected


SPEC = """
embedding_dim = 16
text = { encoder = "words", weights = "none", head = "identity", train = "frozen" }

[image]
encoder = { name = "timm/test_resnet", args = { image_size = 32 } }
weights = "none"
head = "linear"
train = "full"

[train]
steps = 60
batch_size = 6
log_every = 2
precision = "fp32"
"""


@pytest.fixture(scope="module")
def trained(made):
    """Waits for `zoo train`, begun with some words, to end with a status; gives what it said.

    `until` says how to disturb it: called with its process and its run's folder.
    """
    (made.folder / "mine.toml").write_text(SPEC)
    members = []
    for number in range(60):
        file = io.BytesIO()
        Image.new("RGB", (40, 40), (4 * number, 255 - 4 * number, 100)).save(file, "PNG")
        members += [
            (f"{number}.png", file.getvalue()),
            (f"{number}.txt", f"shade {number}".encode()),
        ]
    layouts.tar(made.folder / "shades.tar", members)

    def run(name, *words, until=None):
        (pid,) = made.start(
            Cell(),
            name,
            words=["train", "mine.toml", "--data", "shades.tar", "--out", name, *words],
        )
        if until is not None:
            until(pid, made.folder / name)
        (status,) = made.ended()
        return status, (made.folder / f"{name}.txt").read_text()

    return run


def after_lines(count, disturb):
    """Disturbs a run when its log has so many lines."""

    def wait(pid, folder):
        patience = time.monotonic() + 60
        while time.monotonic() < patience:
            log = folder / "log.jsonl"
            if log.exists() and log.read_bytes().count(b"\n") >= count:
                break
            time.sleep(0.01)
        disturb(pid)

    return wait


def test_signals_end_a_run_with_a_checkpoint(made, trained):
    status, said = trained("whole", "--workers", "0")
    assert status == 0, said
    result = {
        name: (made.folder / "whole" / name).read_bytes()
        for name in ("model/model.safetensors", "log.jsonl")
    }
    for kind, workers in ((signal.SIGTERM, "0"), (signal.SIGTERM, "2"), (signal.SIGINT, "2")):
        name = f"{kind.name}-{workers}"
        status, said = trained(
            name,
            *("--workers", workers),
            until=after_lines(3, lambda pid, kind=kind: os.killpg(pid, kind)),
        )
        assert status == 128 + kind, said
        (checkpoint,) = (made.folder / name / "checkpoints").iterdir()
        step = int(checkpoint.name.removeprefix("step-"))
        assert 6 <= step < 60
        assert (
            f"stopped by {kind.name} after step {step}, which is kept in {name}/checkpoints" in said
        )
        command = f"zoo train mine.toml --data shades.tar --out {name} --workers {workers} --resume"
        assert said.rstrip().endswith(command)
        assert not (made.folder / name / "model").exists()
        status, said = trained(name, "--workers", workers, "--resume")
        assert status == 0, said
        for file, content in result.items():
            assert (made.folder / name / file).read_bytes() == content, (name, file)


def test_the_command_that_goes_on_goes_on_from_the_newest_checkpoint():
    begun = ["/usr/bin/zoo", "train", "mine.toml", "--out", "my run"]
    goes_on = "zoo train mine.toml --out 'my run' --resume"
    for more in (
        [],
        ["--resume"],
        ["--overwrite"],
        ["--from-step", "4"],
        ["--from-step=4", "--resume"],
    ):
        assert resuming([*begun, *more], 1) == goes_on
    assert resuming([*begun[:3], "--from-step", "4", *begun[3:]], 1) == goes_on
    assert resuming(begun, 2) == f"in 2 processes, as before: {goes_on}"


def test_what_resume_is_for(made, trained):
    status, said = trained("begun", "--steps", "2", "--resume")
    assert status == 0, said
    status, said = trained("begun", "--steps", "2")
    assert status == 1
    assert "begun: holds a run already; go on with it by --resume" in said
    status, said = trained("begun", "--steps", "3", "--resume")
    assert status == 1
    assert (
        "begun: cannot be resumed, since it would not be the run that was begun: train.steps"
        in said
    )
    status, said = trained("begun", "--steps", "3", "--overwrite")
    assert status == 0, said
    assert [each.name for each in sorted((made.folder / "begun").iterdir())] == [
        *("checkpoints", "log.jsonl", "model", "report.html"),
        *("results.json", "run.json", "timing.jsonl"),
    ]


def test_a_full_disk_leaves_the_last_good_checkpoint(made):
    expected, _ = whole(made, Cell())
    checkpoint = max((made.folder / "0-1-map-whole" / "checkpoints").iterdir())
    size = sum(each.stat().st_size for each in checkpoint.iterdir())
    made.start(Cell(), "full", disk=int(3.5 * size))
    (status,) = made.ended()
    if status == 77:
        pytest.skip("this system lets nobody mount a small disk")
    assert status == 0
    said = json.loads((made.folder / "full.json").read_text())
    assert said["left"] == ["step-00000003", "step-00000006", "step-00000008"]  # 8: the best
    assert re.fullmatch(
        r".*/step-00000009: the checkpoint cannot be written: .*No space left on device.*; "
        rf"{made.folder}/full/checkpoints/step-00000008 stands\. Make room, and go on with --resume "
        r"\(resume=True in code\)",
        said["error"],
    )
    assert said["result"] == expected


def test_the_second_signal_acts_as_ever():
    with stopping() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_sigterm_that_is_told_twice_is_one(monkeypatch):
    former = signal.signal(signal.SIGTERM, lambda *_: outside.append("acted"))
    outside = []
    try:
        with stopping() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            assert (stop.signal, outside) == (signal.SIGTERM, [])
            monkeypatch.setattr("zoo.training.stopping._ECHO", 0.0)
            os.kill(os.getpid(), signal.SIGTERM)
            assert outside == ["acted"]
    finally:
        signal.signal(signal.SIGTERM, former)


@pytest.mark.parametrize(("echo", "ends"), [(60.0, 0), (0.0, -signal.SIGTERM)])
def test_a_reader_bears_sigterm_that_is_told_twice(monkeypatch, echo, ends):
    monkeypatch.setattr("zoo.training.stopping._ECHO", echo)
    child = os.fork()
    if not child:
        bear_signals(0)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == ends
