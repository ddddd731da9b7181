"""What checkpoints and the files of a run hold, and when they are written."""

import json
import resource
from pathlib import Path

import pytest
import torch
from breaking import alike, state
from PIL import Image
from safetensors.torch import load_file

import zoo
from zoo.data.pairs import Pair
from zoo.errors import CheckpointError, DataError
from zoo.report.results import Reported
from zoo.training import keeper as keeper_module
from zoo.training.changing import Changing
from zoo.training.checkpoint import Checkpoints
from zoo.training.guards import Guards
from zoo.training.loop import train
from zoo.training.observer import Observer, Start
from zoo.training.run_folder import RunFolder


def test_only_what_trains_is_kept(model, pairs, recipe, tmp_path):
    built = model({"last": 1}, "frozen")
    train(built, pairs, recipe(steps=2), folder=tmp_path / "run")
    kept = load_file(RunFolder(tmp_path / "run").checkpoints / "step-00000002/tensors.safetensors")
    weights = {name.removeprefix("model."): each for name, each in kept.items() if name[0] == "m"}
    trains = {name for name, each in built.named_parameters() if each.requires_grad}
    trains |= {f"loss.{name}" for name, _ in built.loss.named_parameters()}
    buffers = weights.keys() - trains
    assert trains < weights.keys()
    assert {name.rpartition(".")[2] for name in buffers} == {
        *("running_mean", "running_var", "num_batches_tracked")
    }
    modules = dict(built.named_modules())
    built.train()
    assert all(modules[name.rpartition(".")[0]].training for name in buffers)
    assert not any(name.startswith("text_encoder") for name in weights)


def test_newest_and_best_stay(model, pairs, recipe, tmp_path):
    given = iter([0.2, 0.6, 0.6, 0.5, 0.1])
    built = model()
    train(
        built,
        pairs,
        recipe(steps=15, sampling="pair", evaluation={"every": 1}, checkpoint={"keep": 1}),
        judge=lambda: {"other": 1.0, "recall": next(given)},
        folder=tmp_path / "first",
    )
    names = sorted(each.name for each in RunFolder(tmp_path / "first").checkpoints.iterdir())
    assert names == ["step-00000003", "step-00000015"]  # judged by what comes first

    given = iter([0.2, 0.6, 0.6, 0.5, 0.1])
    seen, other = [], model()
    train(
        other,
        pairs,
        recipe(
            steps=15,
            sampling="pair",
            evaluation={"every": 1},
            checkpoint={"keep": 2, "steps": 2, "metric": "recall", "save": "best"},
        ),
        judge=lambda: {"other": 1.0, "recall": next(given)},
        on_epoch=lambda epoch: seen.append(state(other)),
        folder=tmp_path / "second",
    )
    names = sorted(each.name for each in RunFolder(tmp_path / "second").checkpoints.iterdir())
    assert names == ["step-00000006", "step-00000014", "step-00000015"]
    assert alike(state(other), seen[1])
    assert alike(state(built), seen[4])


class Overflows(Observer):
    """A weight grows too large for its type in a step."""

    def __init__(self, weight, step):
        self.weight, self.at = weight, step

    def on_step(self, step):
        if step.number == self.at:
            self.weight.data[0] *= 1e39


@pytest.mark.parametrize(("at", "stands"), [(3, r".*/step-00000002 stands"), (1, "there is none")])
def test_weights_that_are_not_finite_are_not_kept(model, pairs, recipe, tmp_path, at, stands):
    built = model()
    overflows = Overflows(built.image_encoder.head.fc1.weight, at)
    asked = recipe(steps=5, checkpoint={"steps": 1, "keep": 1})
    with pytest.raises(
        CheckpointError,
        match=rf"step-0000000{at}: is not written, as image_encoder\.head\.fc1\.weight is not finite "
        rf"after step {at}; {stands}.*\. Begin another run with a lower learning rate than 0\.003$",
    ):
        train(built, pairs, asked, folder=tmp_path / "run", observers=[overflows])
    kept = [int(each.name[5:]) for each in RunFolder(tmp_path / "run").checkpoints.iterdir()]
    assert kept == ([at - 1] if at > 1 else [])


def test_checkpoints_by_the_clock(model, pairs, recipe, tmp_path):
    for minutes, steps in ((1e-6, [1, 2, 3]), (60.0, [3])):
        folder = RunFolder(tmp_path / str(minutes))
        asked = recipe(steps=3, checkpoint={"minutes": minutes, "keep": 5})
        train(model(), pairs, asked, folder=folder.path)
        assert [int(each.name[5:]) for each in sorted(folder.checkpoints.iterdir())] == steps


def test_frozen_batch_norms_are_not_kept(model, pairs, recipe, tmp_path):
    train(model("full"), pairs, recipe(steps=1, batch_norm="frozen"), folder=tmp_path / "run")
    kept = load_file(RunFolder(tmp_path / "run").checkpoints / "step-00000001/tensors.safetensors")
    assert any(".bn1.weight" in name for name in kept)
    assert not any("running_" in name or "num_batches" in name for name in kept)


def test_a_checkpoint_that_cannot_be_removed_is_named(begun, monkeypatch):
    folder, _ = begun
    monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(PermissionError(13, "no")))
    with pytest.raises(
        CheckpointError, match=r"step-00000002: cannot be written: no; the run stops here, and goes"
    ):
        Checkpoints(folder.checkpoints, "").retain(2, None)


class FullDisk(Observer):
    """From a step on, no file can be written to more than a few bytes."""

    def __init__(self, step):
        self.at = step
        self.limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def on_step(self, step):
        if step.number == self.at:
            resource.setrlimit(resource.RLIMIT_FSIZE, (8, self.limits[1]))

    def mend(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.limits)


def test_a_full_disk_is_what_the_error_is_about(model, pairs, recipe, tmp_path, caplog):
    """Though neither the report nor the list of unreadable pictures can be written either."""
    pairs[3].picture.write_text("no picture")
    run, full = RunFolder(tmp_path / "run"), FullDisk(4)
    reported = Reported(run, {"model": "mine"})
    asked = recipe(
        steps=8, sampling="pair", log_every=8, unreadable=0.5, checkpoint={"steps": 2, "keep": 9}
    )
    try:
        with (
            pytest.raises(
                CheckpointError,
                match=r"step-00000004: the checkpoint cannot be written: .*; .*step-00000002 stands. Make",
            ),
            reported,
        ):
            train(model("full"), pairs, asked, folder=run.path, observers=[reported, full])
    finally:
        full.mend()
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any(each.startswith(f"{run.unreadable}: cannot be written: ") for each in said)
    assert any(each.startswith(f"{run.report}: cannot be written: ") for each in said)
    assert not run.results.exists()


def test_advice_that_cannot_be_written_names_its_file(model, recipe, tmp_path):
    guards = Guards(file=tmp_path)  # a folder
    start = Start(model(), recipe().filled(heads_only=True), 10, 5, 4)
    with pytest.raises(
        CheckpointError,
        match=rf"{tmp_path}: cannot be written: .*; the run stops here, and goes on",
    ):
        guards.on_start(start)


def test_tensors_in_any_layout_come_back_as_they_were():
    from zoo.training.packing import pack, plain, unpack

    whole = torch.arange(24.0).reshape(1, 2, 3, 4)
    value = {
        0: {"last": whole.contiguous(memory_format=torch.channels_last), "step": torch.tensor(3.0)},
        "betas": (0.9, 0.999),
        "views": [whole[..., 1], whole],
        "none": None,
    }
    tensors = {}
    packed = json.loads(json.dumps(pack(value, "optimizer", tensors)))
    back = unpack(packed, plain(tensors))
    assert back[0]["last"].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(back[0]["last"], whole)
    assert torch.equal(back["views"][0], whole[..., 1])
    assert (back["betas"], back["none"], back[0]["step"].item()) == ((0.9, 0.999), None, 3.0)
    with pytest.raises(CheckpointError, match=r"optimizer.hook: is a function, and a checkpoint"):
        pack({"hook": lambda: None}, "optimizer", {})


def test_trained_is_found_by_what_changes(model, pairs, recipe):
    built = model("full", "frozen")
    built.train()
    trained, before = Changing(built), state(built)
    hashes = trained.frozen()
    train(built, pairs, recipe(steps=3))
    after = state(built)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    named = {f"{'InfoNCELoss' if each.startswith('loss.') else 'CLIP'}.{each.removeprefix('loss.')}"
             for each in trained.tensors()}  # fmt: skip
    assert changed <= named
    assert trained.frozen() == hashes
    assert set(hashes) == {"text.encoder"}


class Poison(torch.nn.Module):
    """A text encoder of which one word is no number."""

    out_dim, context_length = 16, 1

    def __init__(self, *, weights=None):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(16))

    def tokenizer(self, texts):
        ids = torch.tensor([[sum(map(ord, text))] for text in texts])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def forward(self, input_ids, attention_mask):
        poisoned = (input_ids == sum(map(ord, "grey"))).float() * float("inf")
        return self.scale * (input_ids + poisoned.nan_to_num(0, posinf=float("inf")))


def test_the_batch_of_a_loss_that_is_no_number_is_kept(model, pairs, recipe, tmp_path):
    zoo.register("text_encoder", "poison", Poison)
    pairs = [Pair(each.picture, each.captions[1:], each.concept) for each in pairs]
    built = model("full", "full", {"text.encoder": "poison", "text.head": "linear"})
    asked = recipe(steps=20, sampling="pair", batch_size=3, checkpoint={"steps": 1, "keep": 20})
    batches = []
    with pytest.raises(
        DataError,
        match=r"step \d+: the loss is nan; a lower .*\. Its batch is kept in .*run/not-finite/process-0$",
    ) as raised:
        train(built, pairs, asked, folder=tmp_path / "run", on_step=batches.append)
    failed = int(str(raised.value).split(":")[0].removeprefix("step "))
    assert failed == len(batches) + 1
    folder = RunFolder(tmp_path / "run")
    said = json.loads((folder.not_finite / "process-0" / "batch.json").read_text())
    tensors = load_file(folder.not_finite / "process-0" / "batch.safetensors")
    assert said["step"] == failed
    assert said["error"].startswith(f"step {failed}: the loss is nan")
    assert "grey" in [row["caption"] for row in said["rows"]]
    of = {str(pair.picture): pair for pair in pairs}
    assert all(of[row["picture"]].captions == (row["caption"],) for row in said["rows"])
    assert tensors["image_ids"].tolist() == [row["image_id"] for row in said["rows"]]
    assert tensors["text_ids"].tolist() == [row["text_id"] for row in said["rows"]]
    for row, pixels in zip(said["rows"], tensors["pictures"], strict=True):
        with Image.open(row["picture"]) as picture:
            assert pixels.float().mean((1, 2)).tolist() == pytest.approx(
                list(picture.getpixel((0, 0))), abs=1
            )
    assert tensors["tokens.input_ids"].tolist() == [
        [sum(map(ord, row["caption"]))] for row in said["rows"]
    ]
    kept = [int(each.name[5:]) for each in folder.checkpoints.iterdir()]
    assert max(kept, default=0) == failed - 1


def test_what_a_killed_writer_left_is_cleared_away(begun, model, pairs):
    run, asked = begun
    left = run.path / ".run.json.abcd1234"
    left.write_text("{")
    train(model("full"), pairs, asked, folder=run.path, resume=True)
    assert not left.exists()


def test_other_code_is_told(begun, model, pairs, caplog, monkeypatch):
    folder, asked = begun
    real = keeper_module.code_of_parts
    monkeypatch.setattr(
        keeper_module, "code_of_parts", lambda model: {**real(model), "text.encoder": "another"}
    )
    train(model("full"), pairs, asked, folder=folder.path, resume=True)
    assert (
        "run: its result may not be that of a run that was not broken off: the code or the config of "
        "text.encoder changed since it began"
    ) in caplog.text
