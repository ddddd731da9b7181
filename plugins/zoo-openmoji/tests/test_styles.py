"""openmoji-styles: more ways to see and to say what trains, and nothing of what is held out."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.data.pairs import load_dataset
from zoo_openmoji.emojis import additions, emojis, split_of
from zoo_openmoji.render import STYLES, drawn
from zoo_openmoji.words import words


@pytest.mark.long
def test_what_is_held_out_is_that_of_openmoji():
    plain, styles = load_dataset("openmoji"), load_dataset("openmoji-styles")
    for split in ("validation", "test"):
        assert styles.split(split) == plain.split(split)
    trains = {pair.concept for pair in plain.split("train")}
    more = {pair.concept for pair in styles.split("train")}
    assert trains < more
    assert not more & {
        pair.concept for name in ("validation", "test") for pair in plain.split(name)
    }
    assert len(styles.split("train")) == len(STYLES) * len(more)
    fries = [pair for pair in styles.split("train") if pair.concept == "🍟"]
    assert [Path(pair.picture).name for pair in fries] == [
        f"1F35F-{style}.png" for style in ("drawn", "flat", "coloured")
    ]
    tags = "fast, food, french, fries"
    assert {pair.captions for pair in fries} == {
        ("french fries", "fries", tags, f"french fries: {tags}")
    }
    pictures = {style: _pixels(styles, style) for style in STYLES}
    dark = {style: (pixels.sum(-1) < 60).mean() for style, pixels in pictures.items()}
    assert dark["flat"] < 0.2 * dark["drawn"]  # the outlines are black
    corners = [pixels[0, 0].tolist() for pixels in pictures.values()]
    assert corners[:2] == [[255, 255, 255], [255, 255, 255]]
    assert min(corners[2]) >= 96
    assert corners[2] != corners[0]


def _pixels(dataset, style):
    found = next(
        pair.picture
        for pair in dataset.split("train")
        if Path(pair.picture).name.endswith(f"-{style}.png")
    )
    return np.asarray(Image.open(found).convert("RGB")).astype(int)


def test_additions_have_no_name_of_what_is_held_out():
    names = {each.names[0] for each in additions()}
    assert 450 < len(names) < 550
    held_out = {each.names[0] for each in emojis() if split_of(each.concept) != "train"}
    assert not names & held_out
    assert {"brain", "keyboard"} <= held_out  # of which OpenMoji has more pictures
    assert "musicbrainz" in names


def test_words_of_a_picture():
    said = words()
    assert said["1F4F9"].name == "video camera"
    assert {"camcorder", "film"} <= set(said["1F4F9"].tags)
    assert said["E2C4"].addition
    # a skin tone has the tags of its base
    assert said["1F44B-1F3FD"].tags == said["1F44B"].tags != ()


def test_flat_is_without_outlines_only():
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><g id="color"/><g id="line"/><g id="line-b"/></svg>'
    assert drawn(svg, "flat") == '<svg xmlns="http://www.w3.org/2000/svg"><g id="color" /></svg>'
    assert drawn(svg, "drawn") == drawn(svg, "coloured") == svg
