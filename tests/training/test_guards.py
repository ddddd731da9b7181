"""Guard rails: real runs that go wrong are told so, and how to mend it; healthy runs are left alone."""

import json
import math
import re

import numpy as np
import pytest
import shades
import torch

from zoo.errors import TrainingError
from zoo.training.cosine import MeanCosine
from zoo.training.guards import Guards, read_advice
from zoo.training.loop import train
from zoo.training.observer import Observer, Start
from zoo.training.order import Order
from zoo.training.run_folder import RunFolder

CONSTANT = {"name": "constant"}
WILD = {"name": "sgd", "learning_rate": 10.0, "clip_norm": "none", "loss_learning_rate": 1e-3}
"""A rate that throws the embeddings of an encoder that trains into one."""


class Recorder(Observer):
    """Keeps the run as observers see it."""

    def on_start(self, start):
        self.start, self.steps = start, []

    def on_step(self, step):
        self.steps.append(step)


def advised(model, pairs, recipe, **given):
    """The advice of a run that goes on whatever is seen, and how the run went."""
    said, recorder = [], Recorder()
    train(
        model, pairs, recipe(guards="advise", **given), on_advice=said.append, observers=[recorder]
    )
    return {each.name: each for each in said}, recorder


def test_collapsed_embeddings_stop_a_run(model, pairs, recipe, tmp_path):
    def collapsing(folder, **given):
        built = model("full", "full")
        asked = recipe(steps=60, optimizer=WILD, schedule=CONSTANT, **given)
        steps, said = [], []
        try:
            train(built, pairs, asked, on_step=steps.append, on_advice=said.append, folder=folder)
        finally:
            collapsing.steps, collapsing.said = steps, said

    with pytest.raises(
        TrainingError,
        match=r"^step (\d+): Since step \d+ the embeddings of all (pictures|captions) have collapsed "
        r"into one: within a batch their mean cosine is (1\.0|0\.99)\d+\. Lower "
        r"train.optimizer.learning_rate from 10 to 1, or lengthen train.schedule.warmup from 6 to 18 "
        r'steps\. With train.guards = "advise" a run goes on all the same$',
    ) as caught:
        collapsing(tmp_path / "run")
    stopped = int(re.match(r"step (\d+)", str(caught.value))[1])
    assert collapsing.steps[-1].number == stopped - 1  # the guards are told first
    (advice,) = (
        each for each in read_advice(RunFolder(tmp_path / "run").advice) if each.name == "collapse"
    )
    assert advice.stops
    assert advice.step == stopped
    assert advice.since == stopped - 9  # ten in a row
    side = "image_cosine" if "pictures" in advice.what else "text_cosine"
    for step in collapsing.steps[advice.since - 1 :]:
        assert getattr(step.outcome, side) > 0.993

    collapsing(None, guards="advise")
    assert len(collapsing.steps) == 60
    assert [each for each in collapsing.said if each.name == "collapse"] == [advice]


def test_what_a_wild_rate_throws_away_stops_a_run(model, pairs, recipe):
    fixed = {"loss": {"name": "info-nce", "args": {"temperature": 0.02, "learnable": False}}}
    distinct = {"image.encoder": "timm/test_resnet"}  # by its own, larger pictures
    built = model("head", "frozen", fixed | distinct)
    train(built, pairs, recipe())
    wild = {"name": "sgd", "learning_rate": 10.0, "clip_norm": "none", "weight_decay": 0.0}
    losses = []
    with pytest.raises(
        TrainingError,
        match=r"^step \d+: Since step \d+ the loss has been far above where it was: \S+ on average, "
        r"after \S+ at the start and \S+ at best, at step \d+\. Lower train.optimizer.learning_rate "
        r"from 10 to 1, or lengthen train.schedule.warmup from 20 to 60 steps",
    ):
        train(
            built,
            pairs,
            recipe(steps=200, optimizer=wild, schedule=CONSTANT),
            on_step=lambda step: losses.append(step.outcome.loss),
        )
    assert np.mean(losses[-10:]) > 0.25 + np.mean(losses[:5])


@pytest.mark.parametrize(("batch_size", "used"), [(4, 4), (512, len(shades.COLOURS))])
def test_a_rate_that_is_too_low(model, pairs, recipe, batch_size, used):
    """Guessing is among the pairs of a step, which are no more than there are concepts."""
    slow = {"learning_rate": 1e-8}
    said, run = advised(model(), pairs, recipe, steps=80, batch_size=batch_size, optimizer=slow)
    assert (run.start.recipe.batch_size, run.start.batch_size) == (batch_size, used)
    (advice,) = said.values()
    assert not advice.stops
    assert (advice.since, advice.step) == (20, 39)
    assert re.match(
        r"Since step 20 the loss has not been below what guessing gives: \d\.\d+ on average, where "
        rf"guessing among {used} pairs has {math.log(used):.3g}. See with "
        r"zoo train --overfit-batch whether the model can learn one batch. If it can, raise "
        r"train.optimizer.learning_rate from 1e-08 to 1e-07, and look",
        advice.text,
    )


def test_a_temperature_at_its_bound_is_told_once(model, pairs, recipe):
    quick = {"loss_learning_rate": 1.0}
    said, run = advised(model(), pairs, recipe, steps=120, optimizer=quick)
    (advice,) = said.values()
    assert not advice.stops
    assert run.steps[advice.since - 1].outcome.temperature == 0.01
    assert run.steps[advice.since - 2].outcome.temperature > 0.01
    assert advice.step == advice.since + 9
    assert advice.text == (
        f"Since step {advice.since} the temperature has been at its bound, 0.01: a lower one would "
        "lower the loss. After a long run this is usual. Early in one, lower "
        "train.optimizer.loss_learning_rate from 1 to 0.1, raise loss.args.max_scale from 100 to 200, "
        "or keep the temperature as it is with loss.args.learnable = false."
    )
    fixed = {"name": "info-nce", "args": {"temperature": 0.01, "learnable": False}}
    assert advised(model(changes={"loss": fixed}), pairs, recipe, steps=40)[0] == {}


def test_a_temperature_that_leaves_nothing_to_tell_apart(model, pairs, recipe):
    wild = {"learning_rate": 1.0, "clip_norm": "none"}
    said, run = advised(
        model("head", "full"), pairs, recipe, steps=60, optimizer=wild, schedule=CONSTANT
    )
    advice = said["high temperature"]
    assert not advice.stops
    assert all(step.outcome.temperature >= 1 for step in run.steps[advice.since - 1 : advice.step])
    assert re.fullmatch(
        r"Since step \d+ the temperature has been above 1, where all cosines weigh alike; it is \S+\. "
        r"Lower train.optimizer.loss_learning_rate from 1 to 0.1\.",
        advice.text,
    )
    assert "no better than chance" not in said


@pytest.mark.parametrize(
    ("loss", "image_train", "text_train"),
    [
        *((loss, "head", "full") for loss in ("info-nce", "siglip", "decoupled", "hard-negative")),
        ("info-nce", "full", "frozen"),
    ],
)
def test_healthy_runs_are_left_alone(model, pairs, recipe, loss, image_train, text_train):
    built = model(image_train, text_train, {"loss": loss})
    said, run = advised(built, pairs, recipe, steps=60)
    assert said == {}
    assert run.steps[-1].outcome.loss < run.steps[0].outcome.loss


def test_noise_is_no_fault(model, pairs, recipe):
    """Dropout, decay and a high rate, on batches of four: losses jump about."""
    noisy = {"learning_rate": 3e-2, "weight_decay": 5.0}
    said, run = advised(
        model("head", "full", {"image.head.args.dropout": 0.5}),
        pairs,
        recipe,
        steps=150,
        optimizer=noisy,
    )
    losses = [step.outcome.loss for step in run.steps[50:]]
    assert np.std(losses) > 0.2 * np.mean(losses)
    assert said == {}


def test_a_resumed_run_says_the_same(model, pairs, recipe, tmp_path):
    """Guards that are kept and made anew after each step say what those say that saw the whole run."""
    said, run = advised(
        model("full", "full"), pairs, recipe, steps=60, optimizer=WILD, schedule=CONSTANT
    )
    assert "collapse" in said
    again, file = [], tmp_path / "advice.jsonl"
    guards = Guards(again.append, file)
    start = run.start
    for step in run.steps:
        kept = json.loads(json.dumps(guards.state_dict()))
        guards = Guards(again.append, file)
        guards.load_state_dict(kept)
        guards.on_start(Start(start.model, start.recipe, start.steps, 3, 4, step.number - 1))
        guards.on_step(step)
    assert again == list(said.values())
    assert read_advice(file) == again


@pytest.mark.parametrize("parts", [1, 3])
def test_the_mean_cosine_is_that_of_all_pairs(parts):
    rows = torch.nn.functional.normalize(
        torch.randn(31, 8, generator=torch.Generator().manual_seed(1)) + 0.5, dim=1
    )
    cosine = MeanCosine()
    for part in rows.chunk(parts):
        cosine.add("image", part)
    cosines = rows.double().numpy() @ rows.double().numpy().T
    expected = cosines[~np.eye(31, dtype=bool)].mean()
    assert cosine.take("image") == pytest.approx(expected, abs=1e-7)
    assert cosine.take("image") is None


@pytest.mark.parametrize("loss", ["info-nce", {"name": "siglip"}])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_steps_tell_how_alike_embeddings_are(model, pairs, recipe, loss, accumulation):
    built = model("full", "frozen", {"loss": loss})
    asked = recipe(
        steps=1,
        accumulation=accumulation,
        batch_norm="frozen",
        precision="fp32",
        optimizer={"learning_rate": 1e-9},
    )
    steps = []
    train(built, pairs, asked, on_step=steps.append)
    drawn = Order(pairs, sampling="concept", batch_size=4, seed=0).step(0)
    chosen = list(zip(drawn.pairs, drawn.captions, strict=True))
    images = built.embed_images([pairs[pair].picture for pair, _ in chosen])
    texts = built.embed_texts([pairs[pair].captions[caption] for pair, caption in chosen])
    for embeds, found in ((images, "image_cosine"), (texts, "text_cosine")):
        rows = embeds.double().numpy()
        expected = (rows @ rows.T)[~np.eye(4, dtype=bool)].mean()
        assert getattr(steps[0].outcome, found) == pytest.approx(expected, abs=1e-5)
