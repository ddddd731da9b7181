"""Trackers: what TensorBoard's file holds is what observers were told."""

import json
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from zoo.errors import MissingExtraError, SpecError
from zoo.training.loop import train
from zoo.training.run_folder import RunFolder


def read(folder):
    """Every scalar in the folder's own event file: values by step, by name."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {
        name: {event.step: event.value for event in events.Scalars(name)}
        for name in events.Tags()["scalars"]
    }


def logged_losses(run):
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def test_tensorboard_has_what_was_told(model, pairs, recipe, tmp_path):
    steps, epochs = [], []
    train(
        model(),
        pairs,
        recipe(
            steps=8,
            sampling="pair",
            log_every=3,
            trackers=["tensorboard"],
            evaluation={"every": 1},
        ),
        judge=lambda: {"image_to_text": 0.25 + len(epochs) / 8, "text_to_image": 0.5},
        on_step=steps.append,
        on_epoch=epochs.append,
        folder=tmp_path / "run",
    )
    found = read(RunFolder(tmp_path / "run").tensorboard)
    outcomes = {step.number: step.outcome for step in steps if step.number in (3, 6, 8)}
    assert found["train/loss"] == pytest.approx(logged_losses(tmp_path / "run"), rel=1e-6)
    for name in ("learning_rate", "grad_norm", "temperature", "image_cosine"):
        assert found[f"train/{name}"] == pytest.approx(
            {number: getattr(outcome, name) for number, outcome in outcomes.items()}, rel=1e-6
        )
    assert found["validation/image_to_text"] == {3: 0.25, 6: 0.375, 8: 0.5}
    assert found["validation/text_to_image"] == {3: 0.5, 6: 0.5, 8: 0.5}


def test_a_mean_goes_on_over_a_resumed_run(model, pairs, recipe, tmp_path):
    asked = recipe(
        steps=8,
        sampling="pair",
        log_every=6,
        trackers=["tensorboard"],
        checkpoint={"steps": 4},
    )

    def stop(step):
        if step.number == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model(), pairs, asked, on_step=stop, folder=tmp_path / "run")
    train(model(), pairs, asked, folder=tmp_path / "run", resume=True)
    found = read(RunFolder(tmp_path / "run").tensorboard)["train/loss"]
    assert found == pytest.approx(logged_losses(tmp_path / "run"), rel=1e-6)
    assert found.keys() == {6, 8}


def test_what_cannot_track(model, pairs, recipe, monkeypatch):
    with pytest.raises(
        SpecError,
        match=r"train.trackers: accelerate has no tracker 'tensorbord'; it has aim, .*, wandb. Did you "
        r"mean 'tensorboard'\?",
    ):
        train(model(), pairs, recipe(trackers=["tensorbord"]))
    with pytest.raises(SpecError, match=r"train.trackers: a run that is tracked takes a folder"):
        train(model(), pairs, recipe(trackers=["tensorboard"]))
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", list)
    with pytest.raises(
        MissingExtraError,
        match=r"train.trackers: tensorboard is not installed: pip install 'clip-zoo\[track\]'",
    ):
        train(model(), pairs, recipe(trackers=["tensorboard"]))


def test_no_tracker_is_no_import(model, pairs, recipe, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    train(model(), pairs, recipe(steps=1))
