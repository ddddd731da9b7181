"""A small model over small pictures that differ in colour."""

from __future__ import annotations

import pytest
import shades
import torch
from words import Words

import zoo
from zoo.data.pairs import Pair


@pytest.fixture
def model():
    """Builds it, with train modes and overrides: `model("full", "frozen", {"loss": "siglip"})`."""
    zoo.register("text_encoder", "words", Words)

    def build(image_train="head", text_train="frozen", changes=None):
        torch.manual_seed(0)
        return zoo.build(
            "resnet50-clip",
            pretrained=False,
            overrides={
                "image.encoder": {"name": "timm/test_resnet", "args": {"image_size": 64}},
                "image.train": image_train,
                "text.encoder": "words",
                "text.train": text_train,
                "embedding_dim": 16,
                **(changes or {}),
            },
        )

    return build


@pytest.fixture
def pairs(tmp_path):
    """Three shades of each colour, with two captions each."""
    made = []
    for name, colour in shades.COLOURS.items():
        for step in range(3):
            path = tmp_path / f"{name}-{step}.png"
            shades.shade(colour, 8 * step).save(path)
            made.append(Pair(path, (f"a {name} picture", name), name))
    return made


@pytest.fixture
def recipe():
    """A short recipe, with changes: `recipe(epochs=3, optimizer={"name": "sgd"})`."""
    from zoo.recipe import Recipe

    def make(**given):
        optimizer = {"learning_rate": 3e-3, **given.pop("optimizer", {})}
        length = {} if "steps" in given else {"epochs": 30}
        return Recipe.model_validate(
            {**length, "batch_size": 4, "workers": 0, "optimizer": optimizer, **given}
        )

    return make
