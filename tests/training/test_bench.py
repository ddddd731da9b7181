"""What `bench` measures: the stages that the training has, each by its own functions."""

import csv
import json
import sys
import time

import pytest

from zoo.cli.main import main
from zoo.data.augment import Augmenter
from zoo.errors import SpecError
from zoo.training import bench as bench_module
from zoo.training.bench import bench


def stages(found, when):
    return [each.name for each in found.stages if each.when == when]


def test_an_encoder_that_trains_reads_pictures_at_each_step(model, pairs, recipe):
    found = bench(model("full", "frozen"), pairs, recipe(workers=2), steps=2)
    steps = ["read", "decode", "augment", "forward", "backward", "optimizer"]
    assert stages(found, "each step") == steps
    assert stages(found, "once") == ["tokenize", "text features"]
    assert (found.batch_size, found.workers, found.compile) == (4, 2, False)
    assert found.bound in steps
    step = sum(each.seconds for each in found.stages[-3:])
    assert found.pairs_per_second <= 1 / step * (1 + 1e-9)
    assert json.loads(json.dumps(found.as_json()))["stages"][0]["per_second"] > 0


def test_frozen_encoders_run_once(model, pairs, recipe):
    found = bench(model("head", "frozen"), pairs, recipe(), steps=1)
    assert stages(found, "each step") == ["forward", "backward", "optimizer"]
    once = ["read", "decode", "preprocess", "image features", "tokenize", "text features"]
    assert stages(found, "once") == once
    assert found.bound in ("forward", "backward", "optimizer")


def test_text_that_trains_is_tokenized_at_each_step(model, pairs, recipe, monkeypatch):
    built = model("head", "full")
    found = bench(built, pairs, recipe(), steps=1)
    assert stages(found, "each step") == ["tokenize", "forward", "backward", "optimizer"]
    steps = [each.seconds for each in found.stages if each.when == "each step"]
    assert found.pairs_per_second == pytest.approx(1 / sum(steps))
    assert "pictures" not in found.advice
    assert "text.train = { last = 1 } or head" in found.advice
    tokenizer = built.text_encoder.encoder.tokenizer

    def slowly(texts):
        time.sleep(0.5)
        return tokenizer(texts)

    monkeypatch.setattr(built.text_encoder.encoder, "tokenizer", slowly)
    found = bench(built, pairs, recipe(), steps=1)
    assert (found.bound, found.advice[:16]) == ("tokenize", "shorter captions")


def test_a_loss_that_learns_from_a_teacher(model, pairs, recipe):
    student = model("head", "head", {"loss": "distillation", "text.head": "linear"})
    teacher = model("frozen", "frozen")
    found = bench(student, pairs, recipe(), steps=1, teacher=teacher)
    assert stages(found, "each step") == ["forward", "backward", "optimizer"]
    with pytest.raises(
        SpecError, match=r"train.teacher: DistillationLoss learns from a teacher, and"
    ):
        bench(student, pairs, recipe())
    with pytest.raises(
        SpecError, match=r"train.teacher: InfoNCELoss learns from no teacher; leave"
    ):
        bench(model(), pairs, recipe(), teacher=teacher)


SPEC = """
base = "resnet50-clip"
embedding_dim = 16
image = { encoder = "timm/test_resnet", weights = "none" }
text = { encoder = "words", head = "identity" }
train = { batch_size = 4, workers = 0 }
"""


@pytest.mark.usefixtures("model")  # which registers the text encoder
def test_on_the_command_line(pairs, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.toml").write_text(SPEC)
    with (tmp_path / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("shown", "said"))
        table.writerows((pair.picture.name, pair.captions[0]) for pair in pairs)
    (tmp_path / "elsewhere").mkdir()
    for pair in pairs:
        pair.picture.rename(tmp_path / "elsewhere" / pair.picture.name)
    words = ["bench", "mine.toml", "--data", "table.csv", "--images", "elsewhere", "--steps", "1"]
    words += ["--image-column", "shown", "--caption-column", "said"]

    def said(*more):
        monkeypatch.setattr(sys, "argv", ["zoo", *words, *more])
        with pytest.raises(SystemExit, match=r"^0$"):
            main()
        return capsys.readouterr().out

    found = json.loads(said("--json"))
    assert (found["model"], found["batch_size"]) == ("mine.toml", 4)
    assert found["bound"] in [each["name"] for each in found["stages"]]
    printed = said("--set", "train.compile=false")
    for stage in found["stages"]:
        assert stage["name"] in printed
    assert "bound by" in printed


@pytest.mark.parametrize(
    ("slow", "bound", "advice"),
    [
        ("read_bytes", "read", "a faster disk"),
        ("open_picture", "decode", "pictures stored at about the size that the encoder sees"),
        ("read", "augment", "less augmentation"),
    ],
)
def test_the_slow_stage_bounds_it(model, pairs, recipe, monkeypatch, slow, bound, advice):
    def slowed(true):
        def slowly(*args):
            time.sleep(0.2)
            return true(*args)

        return slowly

    # What opens a picture reads it, and what prepares it opens it.
    stages = [(bench_module, "read_bytes"), (bench_module, "open_picture"), (Augmenter, "read")]
    for owner, name in stages[[name for _, name in stages].index(slow) :]:
        monkeypatch.setattr(owner, name, slowed(getattr(owner, name)))
    found = bench(model("full", "frozen"), pairs, recipe(workers=1), steps=1)
    assert found.bound == bound
    assert advice in found.advice


def test_a_model_in_which_nothing_trains_is_refused(model, pairs, recipe):
    with pytest.raises(SpecError, match="nothing in this model trains"):
        bench(model("frozen", "frozen"), pairs, recipe())
