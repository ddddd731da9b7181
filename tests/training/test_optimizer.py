"""Optimizers by name, and the rates of a run, against the formulas."""

import math

import pytest
import torch

from zoo.errors import SpecError
from zoo.recipe import Schedule
from zoo.training.optimizer import factor, make_optimizer


def made(model, recipe, **optimizer):
    return make_optimizer(model(), recipe(optimizer=optimizer).filled(heads_only=True))


def test_adamw_is_fused_and_matrices_alone_decay(model, recipe):
    optimizer = made(model, recipe, weight_decay=0.2, args={"betas": [0.9, 0.98]})
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults["fused"]
    groups = {group["name"]: group for group in optimizer.param_groups}
    assert groups["image.head.decay"]["weight_decay"] == 0.2
    assert groups["image.head.no_decay"]["weight_decay"] == 0.0
    assert groups["loss.no_decay"]["weight_decay"] == 0.0
    assert all(list(group["betas"]) == [0.9, 0.98] for group in optimizer.param_groups)


def test_another_optimizer_by_name(model, recipe):
    optimizer = made(model, recipe, name="sgd", args={"momentum": 0.5})
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.param_groups[0]["momentum"] == 0.5


def test_what_cannot_be_made(model, recipe):
    with pytest.raises(SpecError, match=r"no optimizer 'admw'; see .* Did you mean .*'adamw'"):
        made(model, recipe, name="admw")
    for args in ({"betas": [0.9]}, {"betas": ["a", "b"]}, {"eps": -1}):
        with pytest.raises(SpecError, match=r"train.optimizer: 'adamw' cannot be made with {'"):
            made(model, recipe, args=args)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            {"betos": [0.9, 0.98]},
            r"args.betos: 'adamw' has no argument 'betos'; .* Did you mean 'betas'",
        ),
        (
            {"momentum": 0.9},
            r"args.momentum: 'adamw' has no argument 'momentum'; it takes betas, eps",
        ),
        ({"layer_decay": 0.5}, r"args.layer_decay: 'adamw' has no argument 'layer_decay'"),
        ({"lr": 3}, r"args.lr: this is train.optimizer.learning_rate"),
        ({"weight_decay": 3}, r"args.weight_decay: this is train.optimizer.weight_decay"),
    ],
)
def test_arguments_that_are_not_the_optimizers(model, recipe, args, said):
    with pytest.raises(SpecError, match=rf"^train.optimizer.{said}"):
        made(model, recipe, args=args)


def test_one_that_asks_for_second_derivatives(model, recipe):
    with pytest.raises(
        SpecError, match=r"optimizer.name: 'adahessian' asks for second derivatives"
    ):
        made(model, recipe, name="adahessian")


def test_what_cannot_be_fused_is_not(model, recipe):
    optimizer = made(model, recipe, args={"foreach": True})
    assert optimizer.defaults["foreach"]
    assert not optimizer.defaults["fused"]
    assert not made(model, recipe, args={"fused": False}).defaults["fused"]


def test_rates_go_up_and_down():
    cosine = factor(Schedule(name="cosine", warmup=10, final=0.1), 110)
    assert cosine(0) == pytest.approx(0.1)
    assert cosine(9) == cosine(10) == pytest.approx(1.0)
    assert cosine(60) == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 2)))
    assert cosine(110) == pytest.approx(0.1)
    linear = factor(Schedule(name="linear", warmup=0.0), 100)
    assert linear(51) == pytest.approx(1 - 50 / 99)
    constant = factor(Schedule(name="constant", warmup=0.5), 10)
    assert [constant(step) for step in (0, 4, 9)] == [pytest.approx(0.2), 1.0, 1.0]
