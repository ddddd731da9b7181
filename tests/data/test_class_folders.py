"""Folders of classes as a dataset."""

import pytest
from PIL import Image

from zoo.data.class_folders import class_folders
from zoo.errors import DataError


def put(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)


def test_classes_without_splits(tmp_path):
    put(tmp_path / "polar_bear" / "b.png", tmp_path / "polar_bear" / "more" / "a.JPG")
    put(tmp_path / "ant" / "1.webp", tmp_path / "ant" / ".hidden.png", tmp_path / ".git" / "x.png")
    (tmp_path / "ant" / "notes.txt").write_text("of no concern")
    (tmp_path / "readme.md").write_text("nor this")
    dataset = class_folders(tmp_path)
    assert dataset.name == tmp_path.name
    said = [(each.picture.name, each.captions, each.concept) for each in dataset.split("test")]
    assert said == [
        ("1.webp", ("ant",), "ant"),
        ("b.png", ("polar bear",), "polar_bear"),
        ("a.JPG", ("polar bear",), "polar_bear"),
    ]
    with pytest.raises(DataError, match="has no split 'train'; it has test"):
        dataset.split("train")


def test_splits(tmp_path):
    put(tmp_path / "train" / "ant" / "1.png", tmp_path / "val" / "ant" / "2.png")
    dataset = class_folders(str(tmp_path))
    assert [each.picture.name for each in dataset.split("train")] == ["1.png"]
    assert [each.picture.name for each in dataset.split("validation")] == ["2.png"]
    put(tmp_path / "bee" / "1.png")
    with pytest.raises(DataError, match="train, val and bee side by side: are these splits, or"):
        class_folders(tmp_path)
    put(tmp_path / "valid" / "ant" / "1.png")
    with pytest.raises(DataError, match="two folders are of the split 'validation'"):
        class_folders(tmp_path)


def test_refusals(tmp_path):
    with pytest.raises(DataError, match="nowhere: there is no such folder of classes"):
        class_folders(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no folder of a class is here"):
        class_folders(tmp_path)
    (tmp_path / "ant").mkdir()
    with pytest.raises(DataError, match="ant: no picture of this class is here"):
        class_folders(tmp_path)
