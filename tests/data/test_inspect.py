"""Inspection counts what is there, and the command shows it."""

import json

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import layouts as samples
from zoo.cli.main import app
from zoo.data.inspect import Range, inspect_dataset, write_samples
from zoo.data.sources import open_dataset
from zoo.errors import DataError


@pytest.fixture
def mixed(tmp_path):
    lies = samples.folder(tmp_path, 6)
    Image.new("RGB", (10, 99)).save(lies / "tall.png")
    (lies / "copy.jpg").write_bytes(samples.jpeg(3))
    (lies / "broken.jpg").write_bytes(samples.jpeg(9)[:500])
    rows = [(f"{n:04}.jpg", "same words", "train") for n in range(3)]
    rows += [("0003.jpg", "one", "train"), ("0003.jpg", "one two three", "train")]
    rows += [("0004.jpg", "x", "train"), ("0005.jpg", "y", "test"), ("tall.png", "tall", "val")]
    rows += [
        ("copy.jpg", "a copy", "train"),
        ("broken.jpg", "z", "train"),
        ("gone.jpg", "w", "train"),
    ]
    return samples.table(tmp_path / "mine.csv", ("image", "caption", "split"), rows)


def test_what_it_finds(mixed):
    found = inspect_dataset(open_dataset(mixed))
    train = found.splits["train"]
    assert (train.pictures, train.captions, train.concepts) == (8, 9, 7)
    assert found.width == Range(10, 50, 50)
    assert found.height == Range(40, 40, 99)
    assert found.formats == {"JPEG": 7, "PNG": 1}
    assert found.captions_per_picture == Range(1, 1, 2)
    assert found.words == Range(1, 1, 3)
    assert found.characters == Range(1, 4, 13)
    assert found.same_captions == {"same words": 3}
    assert [sorted(name[-8:] for name in group) for group in found.same_pictures] == [
        ["0003.jpg", "copy.jpg"]
    ]
    assert found.across_splits == 0
    assert len(found.unreadable) == 2
    assert "broken.jpg: the picture cannot be read: " in found.unreadable[0]
    assert "gone.jpg: there is no such picture" in found.unreadable[1]
    assert found.tokens is None


def test_tokens(mixed):
    def tokenizer(texts):
        mask = torch.zeros(len(texts), 4, dtype=torch.long)
        for row, text in enumerate(texts):
            mask[row, : len(text.split()) + 1] = 1
        return {"attention_mask": mask}

    found = inspect_dataset(open_dataset(mixed), tokenizer=tokenizer, context_length=4)
    assert found.tokens == Range(2, 2, 4)
    assert found.cut == 1


def test_the_picture_of_samples(mixed, tmp_path):
    path = write_samples(open_dataset(mixed), tmp_path / "samples.png", count=12)
    with Image.open(path) as sheet:
        assert sheet.width == 12 + 6 * 144
        assert len(sheet.convert("RGB").getcolors(1 << 20)) > 100
    first = path.read_bytes()
    assert write_samples(open_dataset(mixed), path, count=12).read_bytes() == first
    with pytest.raises(DataError, match=r"give a name that ends in .png"):
        write_samples(open_dataset(mixed), tmp_path / "samples.jpg")


def test_the_command(mixed, tmp_path):
    runner = CliRunner()
    done = runner.invoke(app, ["data", "inspect", str(mixed), "--samples", str(tmp_path / "a.png")])
    assert done.exit_code == 0, done.output
    for line in (
        "1 pictures lie there more than once:",
        "2 pictures cannot be read:",
        "3 times: same words",
    ):
        assert line in done.stdout
    assert (tmp_path / "a.png").is_file()
    done = runner.invoke(app, ["data", "inspect", str(mixed), "--json"])
    said = json.loads(done.stdout)
    assert said["splits"]["train"] == {"pictures": 8, "captions": 9, "concepts": 7}
    done = runner.invoke(app, ["data", "inspect", str(mixed), "--caption-column", "x"])
    assert isinstance(done.exception, DataError)
    assert "there is no column 'x'" in str(done.exception)
