"""`zoo train` and `zoo report` from end to end: what is said while a run goes, and what it leaves."""

import json
import os
import pty
import re
import select
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import zoo
import zoo_tiny
from browser import BROWSER, content_width
from zoo.cli.main import main
from zoo.data.pairs import Pair
from zoo.evaluation.judge import Judge
from zoo.evaluation.retrieval import retrieval
from zoo.report.run import write_report
from zoo.training.run_folder import RunFolder

COLOURS = ["red", "green", "blue", "gold", "pink", "teal", "navy", "gray", "lime", "plum", "tan"]
COLOURS += ["peru", "snow", "aqua", "coral", "khaki", "ivory", "wheat", "azure", "orchid"]
FACTORY = """
from pathlib import Path
from zoo.data.pairs import ImageTextDataset, Pair

FOLDER = Path({folder!r})
COLOURS = {colours!r}

def shades():
    pairs = [Pair(FOLDER / f"{{name}}.png", (f"{{name}} <b>", name), name) for name in COLOURS]
    splits = {{"train": pairs[:12], "validation": pairs[12:16], "test": pairs[16:]}}
    return ImageTextDataset("shades", splits, "CC0-1.0", "nobody & co")
"""


@pytest.fixture
def shades(tmp_path, install, monkeypatch):
    """Pictures of one colour each, a dataset of them, and a spec of a model that takes them."""
    monkeypatch.delitem(sys.modules, "zoo_shades", raising=False)  # of a test before
    folder = tmp_path / "coloured"
    folder.mkdir()
    for colour in COLOURS:
        Image.new("RGB", (24, 16), colour).save(folder / f"{colour}.png")
    site = install(
        "zoo-tiny",
        {**zoo_tiny.ENTRY_POINTS, "zoo.datasets": {"shades": "zoo_shades:shades"}},
        {"zoo_shades.py": FACTORY.format(folder=str(folder), colours=COLOURS)},
    )
    train = {"steps": 30, "batch_size": 6, "workers": 0, "optimizer": {"learning_rate": 0.03}}
    spec = {**zoo_tiny.SPEC, "train": {**train, "evaluation": {"every": 5}, "log_every": 2}}
    (tmp_path / "tiny.json").write_text(json.dumps(spec))
    return site


@pytest.fixture
def zoo_command(monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["zoo", *map(str, words)])
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = stop.code or 0
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


LINE = r"step 30/30  [\d,]+ pairs/s  0:00:00 left  loss \d\.\d{3}  recall@1 \d+\.\d%  temperature 0\.\d+"


def test_a_run_and_its_report(shades, zoo_command, tmp_path):
    status, out, err = zoo_command(
        "train", "tiny.json", "--data", "shades", "--out", "run", "--json"
    )
    assert status == 0, err
    result = json.loads(out)
    assert re.search(f"^{LINE}$", err, re.MULTILINE), err
    assert len(re.findall(r"^epoch +\d+/15  loss \d\.\d{3}  validation recall@1 ", err, re.M)) == 3
    assert "\x1b" not in err
    assert "advice" not in err

    run = RunFolder("run")
    page = run.report.read_text("utf-8")
    log = [json.loads(line) for line in run.log.read_text().splitlines()]
    losses = [line["loss"] for line in log if "loss" in line]
    assert page.count("<h2>") == 5
    for heading in ("Outcome", "Curves", "Samples of retrieval", "Recipe and spec", "Environment"):
        assert f"<h2>{heading}</h2>" in page
    assert f"Over step: training from {losses[0]:.4g} to {losses[-1]:.4g}." in page
    assert "30 steps on shades in " in page
    assert "Pictures: nobody &amp; co; licence CC0-1.0." in page
    assert "&#34;learning_rate&#34;: 0.03" in page
    assert f"<dd>{version('torch')}</dd>" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page

    model = zoo.load("run/model")
    pairs = [
        Pair(tmp_path / f"coloured/{name}.png", (f"{name} <b>",), name) for name in COLOURS[16:]
    ]
    found = retrieval(*Judge(model, pairs).embeds())
    hits = int((found.text_to_image.ranks == 1).sum())
    assert found.text_to_image.recall(1) == result["test"]["text_to_image"]["recall@1"]
    assert page.count('<div class="row">') == 4 == len(pairs)
    assert page.count("own picture at rank") == 4 - hits
    assert page.count('<li class="right">') == 4
    assert page.count("data:image/webp;base64,") == 16
    assert "“ivory &lt;b&gt;”" in page

    run.report.unlink()
    status, out, _ = zoo_command("report", "run")
    assert (status, out.strip()) == (0, "run/report.html")
    assert run.report.read_text("utf-8") == page

    if BROWSER is not None:
        assert content_width(page, 390) == (390, [])


def test_a_run_that_was_broken_off_has_a_report(shades, zoo_command):
    zoo_command("train", "tiny.json", "--data", "shades", "--out", "run")
    run = RunFolder("run")
    run.results.unlink()
    run.log.write_text(run.log.read_text()[:-30])  # killed while it wrote a line
    page = write_report("run").read_text("utf-8")
    assert "The run is not over" in page
    assert "Samples" not in page
    run.log.write_text("nonsense\n" + run.log.read_text())
    assert zoo_command("report", "run")[::2] == (
        1,
        "error: run/log.jsonl: is damaged: Expecting value: line 1 column 1 (char 0)\n",
    )
    assert zoo_command("report", "coloured")[::2] == (
        1,
        "error: coloured: holds no run; give the folder that zoo train --out named\n",
    )


def test_a_run_that_was_stopped_says_why(shades, zoo_command):
    wild = ["--set", "image.train=full", "--set", "train.optimizer.name=sgd", "--steps", "60"]
    wild += ["--set", "train.optimizer.clip_norm=none", "--learning-rate", "1e6"]
    wild += ["--set", "train.optimizer.loss_learning_rate=1e-4"]
    status, _, err = zoo_command("train", "tiny.json", "--data", "shades", "--out", "run", *wild)
    assert status == 1
    said = re.search(r"^error: (step \d+: .*)$", err, re.MULTILINE)[1]
    page = RunFolder("run").report.read_text("utf-8")
    assert "The run was stopped" in page
    assert said[:60] in page
    assert not RunFolder("run").model.exists()

    other = ["--resume", "--batch-size", "7"]
    status, _, err = zoo_command("train", "tiny.json", "--data", "shades", "--out", "run", *other)
    assert status == 1
    assert "cannot be resumed" in err
    assert RunFolder("run").report.read_text("utf-8") == page


def test_one_batch(shades, zoo_command, tmp_path):
    words = ["train", "tiny.json", "--data", "shades", "--overfit-batch", "--batch-size", "4"]
    words += ["--set", "train.checkpoint.save=best"]  # as a recipe for a whole run may say
    full = ["--set", "image.train=full", "--set", "text.train=full", "--set", "text.head=linear"]
    status, out, err = zoo_command(*words, *full, "--steps", "300", "--json")
    assert status == 0, err
    result = json.loads(out)
    assert result["learnt"]
    assert (result["pairs"], result["steps"]) == (4, 300)
    assert result["image_to_text"] == result["text_to_image"] == 1.0
    assert result["loss"] < 0.1 * result["chance"]
    assert result["chance"] == pytest.approx(1.386294, abs=1e-6)
    assert re.search(
        r"^learnt  one batch of 4 pairs in 300 steps: loss in eval mode \S+ \(guessing has 1.39\), "
        r"recall@1 100.0% image to text and 100.0% text to image$",
        err,
        re.MULTILINE,
    )
    left = {path.name for path in tmp_path.iterdir()} - {"zoo-cache"}
    assert left == {"coloured", "site", "tiny.json"}

    status, out, err = zoo_command(*words, "--steps", "3", "--learning-rate", "1e-6")
    assert (status, out) == (1, "")
    assert re.search(
        r"^error: one batch of 4 pairs was not learnt in 3 steps: loss in eval mode \S+ "
        r"\(guessing has 1\.39\), recall@1 \d+\.0% image to text and \d+\.0% text to image\. A model that "
        r"cannot learn one batch learns no dataset\. Give it more steps \(30\); "
        r"change train\.optimizer\.learning_rate \(1e-06\) "
        r"tenfold, up if the loss hardly moved, down if it jumped about; or let more of it train "
        r"\(image\.train is full, text\.train is frozen\)$",
        err,
        re.MULTILINE,
    )


def test_on_a_terminal_training_is_one_line(shades, tmp_path):
    """In a terminal of its own, 80 columns wide: the bar and its figures never take a second line."""
    path = os.pathsep.join([str(shades), str(Path(zoo_tiny.__file__).parent), *sys.path])
    ours, theirs = pty.openpty()
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "COLUMNS": "80",
        "LINES": "30",
        "TERM": "xterm",
    }
    environment.pop("ZOO_PLUGINS", None)
    words = ["train", "tiny.json", "--data", "shades", "--out", "run"]
    with subprocess.Popen(
        [sys.executable, "-m", "zoo", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=environment,
        cwd=tmp_path,
    ) as process:
        os.close(theirs)
        said = b""
        while select.select([ours], [], [], 120)[0]:
            try:
                said += os.read(ours, 65536)
            except OSError:
                break
    os.close(ours)
    assert process.returncode == 0, said.decode()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode())
    bars = [line.rstrip() for line in re.split(r"[\r\n]+", plain) if line.startswith("training")]
    assert all(len(line) <= 80 for line in bars)
    assert re.fullmatch(
        r"training +━+ 30/30 [\d,]+ pairs/s  0:00:00 left  loss \d\.\d{3} .*", bars[-1]
    )


def test_a_test_split_that_cannot_be_judged_costs_no_training(shades, zoo_command, tmp_path):
    picture = tmp_path / "coloured" / "ivory.png"
    whole = picture.read_bytes()
    picture.write_text("no picture")
    words = ["train", "tiny.json", "--data", "shades", "--out", "run"]
    words += ["--set", 'train.splits=["train","validation"]']
    status, _, err = zoo_command(*words)
    assert status == 1, err
    assert re.search(
        r"^error: more than 1\.0% of the pictures cannot be read\.\n1 of 4 pictures .*\n.*ivory\.png.*\n"
        r"The model is trained, and saved in run/model without its figures$",
        err,
        re.MULTILINE,
    )
    run = RunFolder("run")
    assert "The model is trained, and saved in run/model" in run.report.read_text("utf-8")
    saved = zoo.load("run/model").state_dict()
    assert "test" not in json.loads((run.model / "zoo.json").read_text())["training"]

    picture.write_bytes(whole)
    status, out, err = zoo_command(*words, "--resume", "--json")
    assert status == 0, err
    assert json.loads(out)["test"]["count"] == 4
    again = zoo.load("run/model").state_dict()
    assert all(torch.equal(saved[name], again[name]) for name in saved)
    training = json.loads((run.model / "zoo.json").read_text())["training"]
    assert training["test"] == json.loads(out)["test"]
    assert training["validation"] is None
    assert "Recall@1 on validation, which trains too" in run.report.read_text("utf-8")


def test_a_run_that_is_over_is_saved_in_another_width(shades, zoo_command):
    words = ["train", "tiny.json", "--data", "shades", "--out", "run", "--steps", "4"]
    assert zoo_command(*words, "--set", "train.keep=fp16")[0] == 0
    run = RunFolder("run")
    half = load_file(run.model / "model.safetensors")
    log = run.log.read_bytes()
    status, _, err = zoo_command(*words, "--resume", "--set", "train.keep=fp32")
    assert status == 0, err
    full = load_file(run.model / "model.safetensors")
    assert {each.dtype for each in half.values()} == {torch.float16}
    assert {each.dtype for each in full.values()} == {torch.float32}
    assert any(not torch.equal(full[name], half[name].float()) for name in full)
    assert all(torch.equal(full[name].half(), half[name]) for name in full)
    assert run.log.read_bytes() == log


def test_what_is_wrong_is_said_before_there_is_a_run(shades, zoo_command, tmp_path):
    words = ("train", "tiny.json", "--out", "run", "--data")
    status, _, err = zoo_command(*words, "shades", "--set", "train.checkpoint.metric=text_to_imag")
    assert status == 1
    assert (
        "train.checkpoint.metric: the judge gives no 'text_to_imag'; it gives image_to_text, "
        "text_to_image. Did you mean 'text_to_image'?"
    ) in " ".join(err.split())
    wrong = ("--set", 'train.trackers=["tensorbord"]')  # said before the data is looked for
    status, _, err = zoo_command(*words, "nowhere", *wrong)
    assert status == 1
    assert "train.trackers: accelerate has no tracker 'tensorbord'" in err
    status, _, err = zoo_command(*words, "nowhere", "--resume", "--overwrite")
    assert status == 1
    assert "a run is resumed or overwritten, and not both" in err
    status, _, err = zoo_command(*words, "nowhere")
    assert status == 1
    assert "There is no file or folder of that name either" in err
    assert not (tmp_path / "run").exists()


def test_a_run_that_goes_on_says_from_where(shades, zoo_command):
    words = ("train", "tiny.json", "--data", "shades", "--out", "run")
    assert zoo_command(*words)[0] == 0
    status, _, err = zoo_command(*words, "--resume")
    assert status == 0
    assert "resumed after step 30, which was the last" in err
