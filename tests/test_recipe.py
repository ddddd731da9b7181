"""Recipes are data: layered, checked and saved like the rest of a spec."""

import json
import math

import pytest

import zoo
from zoo.assembly import plan
from zoo.errors import SpecError
from zoo.spec import ModelSpec


def recipe_of(**overrides):
    changes = {f"train.{path.replace('__', '.')}": value for path, value in overrides.items()}
    return plan("resnet50-clip", pretrained=False, overrides=changes).spec.train


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epochs": 0}, r"train.epochs \(overrides\): .*greater than or equal to 1, not 0"),
        ({"epocs": 3}, r"train.epocs \(overrides\): unknown key .* Did you mean 'epochs' or"),
        ({"sampling": "wrd"}, r"train.sampling \(overrides\): .*'pair' or 'concept', not 'wrd'"),
        ({"schedule": "cosin"}, r"train.schedule.name .* Did you mean 'cosine'\?"),
        ({"schedule__warmup": 1.5}, r"schedule.warmup \(overrides\): a warmup of 1.5 as a share"),
        (
            {"schedule__warmup": True},
            r"^train.schedule.warmup \(overrides\): a share of all steps, .* not True$",
        ),
        (
            {"schedule__warmup": -0.1},
            r"warmup \(overrides\): .*greater than or equal to 0, not -0.1",
        ),
        (
            {"schedule": "constant", "schedule__final": 0.5},
            r"a constant schedule ends at its peak, and final is 0.5; leave final out",
        ),
        (
            {"optimizer__clip_norm": float("inf")},
            r"clip_norm \(overrides\): .*finite number, not inf",
        ),
        ({"workers": 10**6}, r"train.workers \(overrides\): .*less than or equal to 512"),
        (
            {"augmentation__colour_jitter": {}},
            r"no colour changes while .* or leave colour_jitter out",
        ),
        ({"epochs": 2, "steps": 3}, r"train \(overrides\): epochs and steps both say how long"),
        (
            {"batch_size": 2, "accumulation": 3},
            r"accumulation is 3, and a batch of 2 pairs has not as many parts",
        ),
        ({"augmentation__crop__scal": [0.5, 1]}, r"unknown key 'scal'; here belong scale, ratio"),
        ({"log_every": 0}, r"train.log_every \(overrides\): .*greater than or equal to 1, not 0"),
        ({"checkpoint__minuts": 1}, r"unknown key 'minuts'; here belong steps, minutes, keep"),
        ({"checkpoint__keep": 0}, r"train.checkpoint.keep \(overrides\): .*equal to 1, not 0"),
        ({"checkpoint__save": "bst"}, r"train.checkpoint.save .*'last' or 'best', not 'bst'"),
        (
            {"splits": ["train", "validation"], "checkpoint__save": "best"},
            r"checkpoint.save: the best is chosen by the split 'validation', which trains too",
        ),
        ({"seed": -1}, r"train.seed \(overrides\): .*greater than or equal to 0, not -1"),
    ],
)
def test_what_is_not_valid(given, said):
    with pytest.raises(SpecError, match=said):
        recipe_of(**given)


def test_a_batch_that_was_not_given_has_as_many_parts_as_asked():
    chosen = recipe_of(accumulation=64)
    with pytest.raises(
        SpecError,
        match=r"train.accumulation: accumulation is 64, and a batch of 32 pairs has not as many "
        r"parts; set train.batch_size too",
    ):
        chosen.filled(heads_only=False)
    assert chosen.filled(heads_only=True).batch_size == 512


@pytest.mark.parametrize("recipe", [{"train": {"epochs": 3}}, 5])
def test_a_recipe_is_a_file(recipe):
    with pytest.raises(
        SpecError, match=r"recipe: a .toml or .json file with .*into overrides, as in"
    ):
        plan("resnet50-clip", recipe=recipe)


def test_bare_names_and_what_they_keep():
    chosen = recipe_of(optimizer__learning_rate=1e-3, optimizer="sgd", schedule="linear")
    assert (chosen.optimizer.name, chosen.optimizer.learning_rate) == ("sgd", 1e-3)
    assert chosen.schedule.name == "linear"
    assert recipe_of(optimizer__clip_norm="none").optimizer.clip_norm is None


def test_checkpoints_are_ten_minutes_apart_unless_told_otherwise():
    seconds = {
        (): 600,
        (("checkpoint__steps", 5),): math.inf,
        (("checkpoint__minutes", 2),): 120,
        (("checkpoint__steps", 5), ("checkpoint__minutes", 0.5)): 30,
    }
    for given, expected in seconds.items():
        assert recipe_of(**dict(given)).checkpoint.seconds == expected


MINE = """
base = "resnet50-clip"

[train]
epochs = 3
optimizer = { name = "sgd", args = { momentum = 0.5 }, learning_rate = 0.1 }
augmentation = { crop = { scale = [0.5, 1.0] }, flip = 0.5 }
"""


def test_layers_of_a_file_a_recipe_and_overrides(tmp_path):
    (tmp_path / "mine.toml").write_text(MINE)
    (tmp_path / "fast.toml").write_text("[train]\nsteps = 50\noptimizer = 'adamw'\n")
    alone = plan("mine.toml", pretrained=False).spec.train
    assert alone.epochs == 3
    assert alone.augmentation.crop.scale == (0.5, 1.0)
    mixed = plan(
        "mine.toml", pretrained=False, recipe="fast.toml", overrides={"train.seed": 7}
    ).spec.train
    assert (mixed.epochs, mixed.steps, mixed.seed) == (None, 50, 7)
    assert (mixed.optimizer.name, mixed.optimizer.args) == ("adamw", {})
    assert mixed.optimizer.learning_rate == 0.1
    assert mixed.augmentation == alone.augmentation


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "r.toml",
            "epochs = 3",
            r"r.toml: a recipe has the table \[train\] and no other; here is epochs",
        ),
        ("r.toml", "[train]\nepoch = 3", r"train.epoch \(r.toml\): unknown key"),
        ("r.yaml", "train:", r"r.yaml: a recipe is a .toml or .json file"),
    ],
)
def test_recipe_files_that_are_not_valid(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(SpecError, match=said):
        plan("resnet50-clip", pretrained=False, recipe=name)


def test_it_goes_with_the_model_and_comes_back():
    spec = plan("resnet50-clip", pretrained=False, overrides={"train.epochs": 3}).spec
    assert ModelSpec.model_validate(json.loads(spec.model_dump_json())) == spec
    model = zoo.build(
        "resnet50-clip",
        pretrained=False,
        towers=("image",),
        overrides={"image.encoder": "timm/test_resnet", "train.epochs": 3},
    )
    assert model.spec.train.epochs == 3
