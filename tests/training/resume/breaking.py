"""Runs that are broken off."""

import pytest
import torch

from zoo.training.loop import train
from zoo.training.observer import Observer


class BreakOff(Observer):
    """Ends a run as a crash would, after a step."""

    def __init__(self, step):
        self.at = step

    def on_step(self, step):
        if step.number == self.at:
            raise KeyboardInterrupt


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


def flip(path, place=None):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if place is None else place] ^= 1
    path.write_bytes(data)
