"""A run that is broken off and resumed ends with the bits of one that was not."""

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from breaking import BreakOff, alike, broken_off, state

import zoo
from zoo.errors import CheckpointError
from zoo.training import precision, run_folder
from zoo.training.claim import claimed
from zoo.training.cut import cut
from zoo.training.loop import train
from zoo.training.observer import Observer
from zoo.training.precision import Measured
from zoo.training.run_folder import RunFolder


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


def test_a_lost_file_of_times_begins_anew(begun, model, pairs, tmp_path):
    folder, asked = begun
    folder.timing.unlink()
    whole, resumed = model("full"), model("full")
    train(whole, pairs, asked, folder=tmp_path / "whole")
    train(resumed, pairs, asked, folder=folder.path, resume=True)
    assert alike(state(whole), state(resumed))
    lines = [json.loads(line) for line in folder.timing.read_text().splitlines()]
    assert [each["step"] for each in lines] == [7, 8]


def test_a_finished_run_is_resumed_to_the_same_model(model, pairs, recipe, tmp_path):
    asked, built, again, steps = recipe(steps=4), model(), model(), []
    train(built, pairs, asked, folder=tmp_path / "run")
    train(again, pairs, asked, folder=tmp_path / "run", resume=True, on_step=steps.append)
    assert alike(state(built), state(again))
    assert steps == []


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
