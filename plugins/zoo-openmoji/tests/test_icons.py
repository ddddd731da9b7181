"""openmoji-icons: more concepts, drawn in one colour, and nothing of what is held out."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.data.pairs import load_dataset
from zoo.errors import MissingExtraError
from zoo_openmoji.emojis import emojis, split_of
from zoo_openmoji.icons import icons, inked


@pytest.fixture(scope="module")
def found():
    return list(icons())


def test_every_icon_is_one_thing_that_is_not_held_out(found):
    assert 3500 < len(found) < 5500
    assert len({each.stem for each in found}) == len(found)
    named = {each.name for each in found}
    assert {"anchor", "barrel", "hourglass start"} <= named
    assert not [name for name in named if re.search(r"\d", name) or len(name.split()) > 2]
    drawings = [each.svg.read_text() for each in found if each.stem.startswith("material")]
    assert len(set(drawings)) == len(drawings)
    words = [set(name.split()) for name in named]
    for emoji in emojis():
        said = set(re.findall(r"\w+", emoji.names[0].lower()))
        if said and split_of(emoji.concept) != "train":
            assert not [each for each in words if said <= each], emoji.names[0]


@pytest.mark.long
def test_emojis_come_first_and_icons_in_their_styles(found):
    plain, more = load_dataset("openmoji"), load_dataset("openmoji-icons")
    styles = load_dataset("openmoji-icons-styles")
    for split in ("validation", "test"):
        assert more.split(split) == styles.split(split) == plain.split(split)
    trains = more.split("train")
    of_icons = [pair.concept.startswith("icon ") for pair in trains]
    assert of_icons == sorted(of_icons)
    assert len(trains) == of_icons.count(False) + len(found)
    assert len(styles.split("train")) == 3 * of_icons.count(False) + 2 * len(found)
    assert {pair.concept for pair in trains} == {pair.concept for pair in styles.split("train")}
    drawn, coloured = (
        _pixels(pair.picture) for pair in styles.split("train") if pair.captions == ("barrel",)
    )
    assert drawn[0, 0].tolist() == [255, 255, 255]
    assert drawn[drawn.sum(-1) == 0].size > 0.1 * drawn.size
    assert coloured[0, 0].min() >= 153
    assert len(np.unique(coloured.reshape(-1, 3), axis=0)) > 2
    assert (coloured[0, 0] != coloured.reshape(-1, 3).min(0)).any()


def test_an_icon_fills_the_middle_of_its_square():
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 4"><path d="M0 0h8v4H0z"/></svg>'
    made = inked(svg, "#102030", side=20)
    assert 'viewBox="0 0 20 20"' in made
    assert 'x="2" y="2" width="16" height="16" fill="#102030"' in made


def test_icons_that_are_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "material", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'zoo-openmoji\[icons\]'"):
        next(icons())


def _pixels(path: Path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)
