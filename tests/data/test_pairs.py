"""Datasets by name: found, checked, and refused when there is nothing in them."""

from pathlib import Path

import pytest

import zoo
from zoo.data.pairs import ImageTextDataset, Pair, load_dataset, one_per_concept
from zoo.errors import DataError, PluginError, UnknownNameError

PAIRS = [Pair(Path(f"{name}.png"), (name,), name[0]) for name in ("apple", "ant", "bee")]


def dataset(**splits):
    return ImageTextDataset("mine", splits, "CC0-1.0", "me")


def test_a_registered_dataset():
    zoo.register("dataset", "mine", lambda: dataset(train=PAIRS, test=PAIRS[:1]))
    found = load_dataset("mine")
    assert found.split("train") == PAIRS
    assert len(found.everything()) == 4


def test_one_per_concept():
    assert [pair.captions[0] for pair in one_per_concept(PAIRS)] == ["apple", "bee"]


def test_refusals():
    with pytest.raises(UnknownNameError, match=r"unknown dataset 'mine'. No dataset is installed"):
        load_dataset("mine")
    zoo.register("dataset", "empty", lambda: dataset(train=[], test=[]))
    with pytest.raises(DataError, match="the dataset 'mine' is empty"):
        load_dataset("empty")
    zoo.register("dataset", "wrong", lambda: PAIRS)
    with pytest.raises(PluginError, match=r"the dataset 'wrong' of session .* gave \[Pair"):
        load_dataset("wrong")
    half = dataset(train=PAIRS, test=[], bad=[Pair(Path("x.png"), (), "x")])
    with pytest.raises(DataError, match="the split 'test' of the dataset 'mine' is empty"):
        half.split("test")
    with pytest.raises(DataError, match=r"has no split 'tset'; .* Did you mean 'test'"):
        half.split("tset")
    with pytest.raises(DataError, match=r"x.png has no caption"):
        half.split("bad")
