"""A run that is broken off and resumed ends with the bits of one that was not."""

import json
import os
import random
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import zoo
from zoo.data.pairs import Pair
from zoo.errors import CheckpointError, DataError, FolderError, SpecError
from zoo.report.results import Reported
from zoo.training import precision, run_folder
from zoo.training.changing import Changing
from zoo.training.checkpoint import Checkpoints
from zoo.training.claim import claimed
from zoo.training.cut import cut
from zoo.training.guards import Guards
from zoo.training.loop import train
from zoo.training.observer import Observer, Start
from zoo.training.precision import Measured
from zoo.training.run_folder import RunFolder


class BreakOff(Observer):
    """Ends a run as a crash would, after a step."""

    def __init__(self, step):
        self.at = step

    def on_step(self, step):
        if step.number == self.at:
            raise KeyboardInterrupt


SMALL = {"image.encoder.args.image_size": 32}


@pytest.fixture
def model(model):
    """That of the other tests, of smaller pictures."""
    return lambda image="head", text="frozen", changes=None: model(
        image, text, {**SMALL, **(changes or {})}
    )


def state(model):
    return {
        name: tensor.clone()
        for module in (model, model.loss)
        for name, tensor in module.state_dict(prefix=f"{type(module).__name__}.").items()
    }


def alike(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def broken_off(build, pairs, asked, folder, *steps, **given):
    """Runs that are broken off after steps and resumed; each in a model of its own."""
    for step in steps:
        with pytest.raises(KeyboardInterrupt):
            train(build(), pairs, asked, folder=folder, resume=True, **observed(step), **given)
    built = build()
    train(built, pairs, asked, folder=folder, resume=True, **given)
    return built


def observed(step):
    return {"observers": [BreakOff(step)]}


@pytest.mark.parametrize(
    ("image_train", "text_train", "given"),
    [
        ("full", "frozen", {"augmentation": {"flip": 0.5}}),
        ("full", "full", {"optimizer": {"name": "sgd", "args": {"momentum": 0.9}}}),
        ({"lora": {"rank": 2}}, "full", {"optimizer": {"name": "adafactor"}}),
        ({"last": 1}, "frozen", {"batch_norm": "frozen", "optimizer": {"clip_norm": "none"}}),
        ("head", "frozen", {"optimizer": {"name": "adamw", "args": {"fused": False}}}),
        ("full", "full", {"accumulation": 2, "batch_norm": "frozen", "workers": 1}),
    ],
)
def test_the_same_bits(model, pairs, recipe, tmp_path, image_train, text_train, given):
    changes = {"image.head.args.dropout": 0.3, "text.encoder.args.dropout": 0.2}

    def build():
        return model(image_train, text_train, changes)

    asked = recipe(steps=8, sampling="pair", log_every=3, checkpoint={"steps": 2}, **given)
    judged = {"judge": lambda: {"recall": 0.5}}
    whole = build()
    train(whole, pairs, asked, folder=tmp_path / "whole", **judged)
    pieces = broken_off(build, pairs, asked, tmp_path / "pieces", 1, 3, 4, 7, **judged)
    assert alike(state(whole), state(pieces))
    assert not alike(state(whole), state(build()))
    one, other = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "pieces")
    assert one.log.read_bytes() == other.log.read_bytes()
    steps = [
        [json.loads(line)["step"] for line in each.timing.read_text().splitlines()]
        for each in (one, other)
    ]
    assert steps[0] == steps[1] == [3, 6, 8]


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


def test_a_metric_that_the_judge_does_not_give(model, pairs, recipe, tmp_path):
    asked = recipe(steps=1, checkpoint={"metric": "recal"})
    with pytest.raises(
        SpecError, match=r"checkpoint.metric: the judge gives no 'recal'; it gives recall. Did you"
    ):
        train(model(), pairs, asked, judge=lambda: {"recall": 1.0}, folder=tmp_path / "run")
    best = recipe(checkpoint={"save": "best"})
    for given in ({}, {"folder": tmp_path / "new"}, {"judge": lambda: {"recall": 1.0}}):
        with pytest.raises(SpecError, match=r"checkpoint.save: the best model is one that a judge"):
            train(model(), pairs, best, **given)
    assert not (tmp_path / "new").exists()


@pytest.fixture
def begun(model, pairs, recipe, tmp_path):
    """A run of eight steps with checkpoints of steps 2, 4 and 6, broken off after step 7."""
    asked = recipe(steps=8, sampling="pair", checkpoint={"steps": 2, "keep": 3})
    with pytest.raises(KeyboardInterrupt):
        train(model("full"), pairs, asked, folder=tmp_path / "run", observers=[BreakOff(7)])
    return RunFolder(tmp_path / "run"), asked


def flip(path, place=None):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if place is None else place] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "bit of a tensor": (
        lambda at: flip(at / "tensors.safetensors", -3),
        r"safetensors changed since",
    ),
    "cut off": (
        lambda at: (at / "tensors.safetensors").write_bytes(b"cut"),
        r"tensors.safetensors changed since it was written",
    ),
    "tensors missing": (
        lambda at: (at / "tensors.safetensors").unlink(),
        r"not a whole checkpoint: tensors.safetensors: ",
    ),
    "bit of the json": (
        lambda at: (at / "checkpoint.json").write_text(
            (at / "checkpoint.json").read_text().replace('"step": 6', '"step": 5')
        ),
        r"checkpoint.json changed since it was written",
    ),
    "no json": (
        lambda at: (at / "checkpoint.json").write_text("{"),
        r"not a whole checkpoint: checkpoint.json: ",
    ),
    "a list": (
        lambda at: (at / "checkpoint.json").write_text("[]"),
        r"not a whole checkpoint: checkpoint.json: ",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_checkpoint_is_never_passed_over(begun, model, pairs, tmp_path, damage):
    folder, asked = begun
    hurt, said = DAMAGES[damage]
    hurt(folder.checkpoints / "step-00000006")
    log = folder.log.read_bytes()
    with pytest.raises(
        CheckpointError,
        match=rf"step-00000006: {said}?.*Nothing was changed; the last good one is .*step-00000004: "
        r"go on from it with --from-step 4 \(from_step=4 in code\)"
        if "?" in said
        else rf"{said}.*Nothing was changed; the last good one is .*step-00000004: go on from it with "
        r"--from-step 4 \(from_step=4 in code\)",
    ):
        train(model("full"), pairs, asked, folder=folder.path, resume=True)
    assert folder.log.read_bytes() == log
    whole, resumed = model("full"), model("full")
    train(whole, pairs, asked, folder=tmp_path / "whole")
    train(resumed, pairs, asked, folder=folder.path, from_step=4)
    assert alike(state(whole), state(resumed))
    assert folder.log.read_bytes() == RunFolder(tmp_path / "whole").log.read_bytes()


def test_no_checkpoint_is_whole(begun, model, pairs):
    folder, asked = begun
    for each in folder.checkpoints.iterdir():
        flip(each / "tensors.safetensors")
    with pytest.raises(
        CheckpointError, match=r"no earlier one is whole either; begin anew with --ov"
    ):
        train(model("full"), pairs, asked, folder=folder.path, resume=True)
    with pytest.raises(
        CheckpointError, match=r"step-00000005: there is no such checkpoint; there "
    ):
        train(model("full"), pairs, asked, folder=folder.path, from_step=5)


def other_colour(pairs):
    Image.new("RGB", (40, 40), (1, 2, 3)).save(pairs[2].picture)
    return pairs


CHANGES = {
    "recipe": (
        {"optimizer": {"learning_rate": 1e-2}},
        r"train.optimizer.learning_rate was 0.003 and is 0.01\. Put it back as it was",
    ),
    "recipes": (
        {"steps": 9, "log_every": 4},
        r"train.steps was 8 and is 9; train.log_every was null and is 4\. ",
    ),
    "spec": ({"changes": {"loss": "siglip"}}, r'loss.name was "info-nce" and is "siglip"; '),
    "frozen": ({"weights": 1.5}, r"the weights of text.encoder, which do not train, are others\. "),
    "caption": (
        {"pairs": lambda pairs: [Pair(pairs[0].picture, ("hue",), "red"), *pairs[1:]]},
        r"the captions of the split 'train' are others\. ",
    ),
    "picture": ({"pairs": other_colour}, r"the pictures of the split 'train' are others\. "),
    "order": (
        {"pairs": lambda pairs: pairs[::-1]},
        r"the captions of the split 'train' are others; the pictures of the split 'train' are",
    ),
    "fewer": (
        {"pairs": lambda pairs: pairs[:-1]},
        r"the number of pairs of the split 'train' was 12 and is 11; ",
    ),
    "validation": (
        {"fingerprints": {"validation": {"pairs": 3}}},
        r"the data 'validation' was not there and is {\"pairs\": 3}\. ",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_run_is_not_resumed(begun, model, pairs, change):
    folder, asked = begun
    changed, said = CHANGES[change]
    changed = dict(changed)
    built = model("full", changes=changed.pop("changes", None))
    if factor := changed.pop("weights", None):
        built.text_encoder.encoder.table.weight.data.mul_(factor)
    of = changed.pop("pairs", lambda pairs: pairs)(pairs)
    further = {"fingerprints": changed.pop("fingerprints", None)}
    data = {**asked.model_dump(), **changed}
    data["optimizer"] = {**asked.model_dump()["optimizer"], **changed.get("optimizer", {})}
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with pytest.raises(
        CheckpointError,
        match=rf"run: cannot be resumed, since it would not be the run that was begun: {said}",
    ):
        train(
            built, of, type(asked).model_validate(data), folder=folder.path, resume=True, **further
        )
    assert before == {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}


def test_what_may_change(begun, model, pairs, tmp_path):
    folder, asked = begun
    whole, resumed = model("full"), model("full")
    train(whole, pairs, asked, folder=tmp_path / "whole")
    freely = {"workers": 1, "unreadable": 0.5, "keep": "fp16", "guards": "advise"}
    freely["checkpoint"] = {"minutes": 1.0, "keep": 1}
    changed = type(asked).model_validate({**asked.model_dump(), **freely})
    train(resumed, pairs, changed, folder=folder.path, resume=True)
    assert alike(state(whole), state(resumed))
    assert folder.log.read_bytes() == RunFolder(tmp_path / "whole").log.read_bytes()


def test_precision_that_was_left_open_stays_as_it_was_chosen(
    model, pairs, recipe, tmp_path, monkeypatch
):
    """Also where another would be chosen now: on another machine, or in a container of another name."""

    def measures(fp32, bf16):
        monkeypatch.setattr(precision, "measured", lambda device: Measured(fp32, bf16))

    asked = recipe(steps=4, sampling="pair", checkpoint={"steps": 2})
    named = {each: recipe(**{**asked.model_dump(), "precision": each}) for each in ("bf16", "fp32")}
    whole = {each: model("full") for each in named}
    for each, built in whole.items():
        train(built, pairs, named[each])
    assert not alike(*map(state, whole.values()))
    for resumed in (asked, named["bf16"]):
        folder = RunFolder(tmp_path / resumed.precision)
        measures(2.0, 1.0)
        with pytest.raises(KeyboardInterrupt):
            train(model("full"), pairs, asked, folder=folder.path, observers=[BreakOff(3)])
        measures(1.0, 2.0)
        with pytest.raises(CheckpointError, match=r'begun: precision was "bf16" and is "fp32"\. '):
            train(model("full"), pairs, named["fp32"], folder=folder.path, resume=True)
        built = model("full")
        train(built, pairs, resumed, folder=folder.path, resume=True)
        assert alike(state(built), state(whole["bf16"]))


def test_a_tower_that_could_not_be_cut_goes_on(model, pairs, recipe, tmp_path):
    """As on another processor, where the halves are not the whole to the bit; and the other way round."""
    asked = recipe(steps=6, sampling="pair", checkpoint={"steps": 2})
    ways = [lambda built: built, lambda built: cut(built, asked)]
    whole = model({"last": 1})
    train(cut(whole, asked), pairs, asked)
    for number, (first, then) in enumerate((ways, ways[::-1])):
        folder = tmp_path / str(number)
        with pytest.raises(KeyboardInterrupt):
            train(first(model({"last": 1})), pairs, asked, folder=folder, observers=[BreakOff(3)])
        built = model({"last": 1})
        train(then(built), pairs, asked, folder=folder, resume=True)
        for name, each in built.named_parameters():
            torch.testing.assert_close(
                each, whole.get_parameter(name), rtol=1e-4, atol=1e-5, msg=name
            )


class Draws(torch.nn.Module):
    """A loss that draws from Python's and NumPy's generators, as a plugin's may."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(5.0))

    def forward(self, image_embeds, text_embeds):
        scale = self.scale * (random.random() + np.random.rand())
        logits = scale * image_embeds @ text_embeds.T
        return torch.nn.functional.cross_entropy(logits, torch.arange(len(logits)))


def test_every_random_generator_goes_on_where_it_was(model, pairs, recipe, tmp_path):
    zoo.register("loss", "draws", Draws)

    def build():
        return model(changes={"loss": "draws"})

    asked = recipe(steps=5, sampling="pair", checkpoint={"steps": 1})
    whole = build()
    train(whole, pairs, asked, folder=tmp_path / "whole")
    pieces = broken_off(build, pairs, asked, tmp_path / "pieces", 2, 4)
    assert alike(state(whole), state(pieces))


def test_frozen_batch_norms_are_not_kept(model, pairs, recipe, tmp_path):
    train(model("full"), pairs, recipe(steps=1, batch_norm="frozen"), folder=tmp_path / "run")
    kept = load_file(RunFolder(tmp_path / "run").checkpoints / "step-00000001/tensors.safetensors")
    assert any(".bn1.weight" in name for name in kept)
    assert not any("running_" in name or "num_batches" in name for name in kept)


def test_a_lost_file_of_times_begins_anew(begun, model, pairs, tmp_path):
    folder, asked = begun
    folder.timing.unlink()
    whole, resumed = model("full"), model("full")
    train(whole, pairs, asked, folder=tmp_path / "whole")
    train(resumed, pairs, asked, folder=folder.path, resume=True)
    assert alike(state(whole), state(resumed))
    lines = [json.loads(line) for line in folder.timing.read_text().splitlines()]
    assert [each["step"] for each in lines] == [7, 8]


def best(recipe, **more):
    checkpoint = {"steps": 2, "keep": 1, "save": "best", **more}
    return recipe(steps=15, sampling="pair", evaluation={"every": 1}, checkpoint=checkpoint)


def test_a_best_that_is_gone_is_missed_before_any_step(model, pairs, recipe, tmp_path):
    given = [0.6, 0.2, 0.2, 0.2, 0.2]
    judged, folder, steps = iter(given), RunFolder(tmp_path / "run"), []
    with pytest.raises(KeyboardInterrupt):
        train(
            model("full"),
            pairs,
            best(recipe),
            judge=lambda: {"recall": next(judged)},
            folder=folder.path,
            observers=[BreakOff(11)],
        )
    flip(folder.checkpoints / "step-00000003" / "tensors.safetensors", -3)
    further = {"folder": folder.path, "resume": True, "on_step": steps.append}
    with pytest.raises(
        CheckpointError,
        match=r"step-00000003: tensors.safetensors changed since it was written\. It is the best so far, "
        r"which the run is to end with; go on with --set train.checkpoint.save=last, and it ends with",
    ):
        train(model("full"), pairs, best(recipe), judge=lambda: {"recall": 0.1}, **further)
    assert steps == []
    ended, whole = model("full"), model("full")
    train(
        ended, pairs, best(recipe, save="last"), judge=lambda: {"recall": next(judged)}, **further
    )
    again = iter(given)
    train(whole, pairs, best(recipe, save="last"), judge=lambda: {"recall": next(again)})
    assert steps[0].number == 11
    assert alike(state(ended), state(whole))


def test_a_judge_that_gives_no_number_chooses_no_best(model, pairs, recipe, tmp_path):
    said = {"judge": lambda: {"recall": float("nan")}, "folder": tmp_path / "run"}
    with pytest.raises(
        SpecError,
        match=r"checkpoint.save: the best model is asked for, and the judge has given no number at any "
        r"evaluation; for the last one, go on with --resume --set train.checkpoint.save=last$",
    ):
        train(model(), pairs, best(recipe), **said)
    ended, whole = model(), model()
    train(ended, pairs, best(recipe, save="last"), resume=True, **said)
    train(whole, pairs, best(recipe, save="last"))
    assert alike(state(ended), state(whole))


def test_a_checkpoint_that_cannot_be_removed_is_named(begun, monkeypatch):
    folder, _ = begun
    monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(PermissionError(13, "no")))
    with pytest.raises(
        CheckpointError, match=r"step-00000002: cannot be written: no; the run stops here, and goes"
    ):
        Checkpoints(folder.checkpoints, "").retain(2, None)


def test_a_log_that_was_changed_is_not_gone_on_with(begun, model, pairs):
    folder, asked = begun
    flip(folder.log, 20)
    with pytest.raises(
        CheckpointError,
        match=r"log.jsonl: is not what the checkpoint goes on from: .* put the file back as the run "
        r"wrote it, go on from an earlier checkpoint with --from-step .* or begin anew with --overwrite",
    ):
        train(model("full"), pairs, asked, folder=folder.path, resume=True)


def test_without_a_checkpoint_it_begins_with_the_same_weights_or_not_at_all(
    begun, model, pairs, tmp_path
):
    folder, asked = begun
    shutil.rmtree(folder.checkpoints)
    other, same, whole = model("full"), model("full"), model("full")
    other.image_encoder.head.load_state_dict(
        {name: each + 1 for name, each in other.image_encoder.head.state_dict().items()}
    )
    with pytest.raises(
        CheckpointError, match=r"no checkpoint, and the model's weights are not those"
    ):
        train(other, pairs, asked, folder=folder.path, resume=True)
    train(same, pairs, asked, folder=folder.path, resume=True)
    train(whole, pairs, asked, folder=tmp_path / "whole")
    assert alike(state(whole), state(same))
    assert folder.log.read_bytes() == RunFolder(tmp_path / "whole").log.read_bytes()


def test_a_finished_run_is_resumed_to_the_same_model(model, pairs, recipe, tmp_path):
    asked, built, again, steps = recipe(steps=4), model(), model(), []
    train(built, pairs, asked, folder=tmp_path / "run")
    train(again, pairs, asked, folder=tmp_path / "run", resume=True, on_step=steps.append)
    assert alike(state(built), state(again))
    assert steps == []


def test_what_goes_together(model, pairs, recipe, tmp_path):
    with pytest.raises(CheckpointError, match="is resumed, or overwritten, in a folder; say which"):
        train(model(), pairs, recipe(), resume=True)
    with pytest.raises(CheckpointError, match="resumed or overwritten, and not both; leave one of"):
        train(model(), pairs, recipe(), folder=tmp_path / "run", from_step=3, overwrite=True)


REFUSED = {
    "warm-up": (
        {"schedule": {"warmup": 999}},
        r"999 steps of warm-up, and the run has 8; shorten it",
    ),
    "optimizer": ({"optimizer": {"name": "sgdd"}}, r"timm has no optimizer 'sgdd'"),
    "parts": ({"accumulation": 2}, r"train.accumulation: .* more batch norms take their"),
}


@pytest.mark.parametrize("refused", REFUSED)
def test_a_run_that_cannot_begin_replaces_none(begun, model, pairs, recipe, tmp_path, refused):
    folder, _ = begun
    given, said = REFUSED[refused]
    asked = recipe(steps=8, **given)
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    assert any(path.name == "tensors.safetensors" for path in before)
    with pytest.raises(SpecError, match=said):
        train(model("full"), pairs, asked, folder=folder.path, overwrite=True)
    assert before == {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with pytest.raises(SpecError, match=said):
        train(model("full"), pairs, asked, folder=tmp_path / "new")
    assert not (tmp_path / "new").exists()


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
    start = Start(model(), recipe().filled(heads_only=True), 10, 5)
    with pytest.raises(
        CheckpointError,
        match=rf"{tmp_path}: cannot be written: .*; the run stops here, and goes on",
    ):
        guards.on_start(start)


class Intrudes(Observer):
    """In the midst of a run, another one is started in its folder."""

    def __init__(self, starts):
        self.starts, self.refused = starts, []

    def on_step(self, step):
        if step.number == 3:
            for again in ({"resume": True}, {"overwrite": True}):
                with pytest.raises(CheckpointError) as refused:
                    self.starts(**again)
                self.refused.append(str(refused.value))


def test_one_run_at_a_time(model, pairs, recipe, tmp_path):
    asked = recipe(steps=6, workers=1, checkpoint={"steps": 2})
    whole, disturbed = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "run")
    train(model(), pairs, asked, folder=whole.path)
    intrudes = Intrudes(lambda **how: train(model(), pairs, asked, folder=disturbed.path, **how))
    train(model(), pairs, asked, folder=disturbed.path, observers=[intrudes])
    said = (
        f"{disturbed.path}: a run is under way here, in this process or another; wait for its end"
    )
    assert len(intrudes.refused) == 2
    assert all(each.startswith(said) for each in intrudes.refused)
    assert disturbed.log.read_bytes() == whole.log.read_bytes()
    train(model(), pairs, asked, folder=disturbed.path, resume=True)  # over, it is free


def test_a_forked_process_holds_no_run(tmp_path):
    read, write = os.pipe()
    runs, told = os.pipe()
    with claimed(tmp_path / "run"):
        child = os.fork()
        if not child:
            os.write(told, b"-")
            os.read(read, 1)
            os._exit(0)
        os.read(runs, 1)
    try:
        with claimed(tmp_path / "run"):
            pass
    finally:
        os.write(write, b"-")
        os.waitpid(child, 0)


@pytest.mark.parametrize("replaces", [False, True])
@pytest.mark.parametrize("at", ["run.json", "checkpoints"])
def test_killed_as_it_begins_it_is_begun_by_the_command_that_resumes(
    begun, model, pairs, recipe, tmp_path, monkeypatch, replaces, at
):
    folder = begun[0] if replaces else RunFolder(tmp_path / "new")
    if replaces:
        folder.model.mkdir()
    asked = recipe(steps=4, sampling="pair", checkpoint={"steps": 2})

    def killed(path, *given, **options):
        if path.name == at:
            raise KeyboardInterrupt
        return made(path, *given, **options)

    of, name = (run_folder, "write_json") if at == "run.json" else (Path, "mkdir")
    made = getattr(of, name)
    with monkeypatch.context() as patched:
        patched.setattr(of, name, killed)
        with pytest.raises(KeyboardInterrupt):
            train(model("full"), pairs, asked, folder=folder.path, overwrite=replaces)
    train(model("full"), pairs, asked, folder=folder.path, resume=True)
    whole = RunFolder(tmp_path / "whole")
    train(model("full"), pairs, asked, folder=whole.path)
    assert folder.log.read_bytes() == whole.log.read_bytes()
    names = {each.name for each in whole.path.iterdir()} | ({"model"} if replaces else set())
    assert {each.name for each in folder.path.iterdir()} == names


def test_an_observer_goes_on_where_it_was(model, pairs, recipe, tmp_path):
    class Counts(Observer):
        def __init__(self):
            self.steps = 0

        def on_step(self, step):
            self.steps += 1

        def state_dict(self):
            return {"steps": self.steps}

        def load_state_dict(self, state):
            self.steps = state["steps"]

    asked = recipe(steps=6, checkpoint={"steps": 2})
    with pytest.raises(KeyboardInterrupt):
        train(
            model(),
            pairs,
            asked,
            folder=tmp_path / "run",
            observers=[Counts(), Counts(), BreakOff(5)],
        )
    counts = [Counts(), Counts()]
    train(model(), pairs, asked, folder=tmp_path / "run", observers=counts, resume=True)
    assert [each.steps for each in counts] == [6, 6]


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


def test_a_run_that_was_made_meanwhile_stays(model, pairs, recipe, tmp_path):
    """Two commands are started for one folder; the second computes features while the first trains."""
    asked = recipe(steps=3, checkpoint={"steps": 1})
    first = []

    def meanwhile(*_told):
        if not first:
            first.append(model())
            train(first[0], pairs, asked, folder=tmp_path / "run")

    with pytest.raises(FolderError, match=r"holds a run already; go on with it by --resume"):
        train(model(), pairs, recipe(steps=2), folder=tmp_path / "run", progress=meanwhile)
    checkpoints = RunFolder(tmp_path / "run").checkpoints
    assert "step-00000003" in {each.name for each in checkpoints.iterdir()}


def test_no_step_to_go_on_from(model, pairs, recipe, tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no run, and so no checkpoint of step 5; "):
        train(model(), pairs, recipe(steps=2), folder=tmp_path / "run", from_step=5)
    assert not (tmp_path / "run").exists()


def test_what_a_killed_writer_left_is_cleared_away(begun, model, pairs):
    run, asked = begun
    left = run.path / ".run.json.abcd1234"
    left.write_text("{")
    train(model("full"), pairs, asked, folder=run.path, resume=True)
    assert not left.exists()
