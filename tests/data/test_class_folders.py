"""Folders of classes as a dataset."""

import pytest
from PIL import Image

from zoo.data.class_folders import class_folders, is_class_folders
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
    for split, name in (("training", "1.png"), ("Val", "2.png")):
        put(tmp_path / split / "ant" / name, tmp_path / split / "bee" / name)
    dataset = class_folders(str(tmp_path))
    assert {each.picture.name for each in dataset.split("train")} == {"1.png"}
    assert {each.picture.name for each in dataset.split("validation")} == {"2.png"}
    assert [each.concept for each in dataset.split("train")] == ["ant", "bee"]
    put(tmp_path / "wasp" / "1.png")
    with pytest.raises(
        DataError, match="training, Val and wasp side by side: are these splits, or"
    ):
        class_folders(tmp_path)
    put(tmp_path / "valid" / "ant" / "1.png")
    with pytest.raises(DataError, match="two folders are of the split 'validation'"):
        class_folders(tmp_path)


@pytest.mark.parametrize("file", ["pairs.csv", "deeper/0000.TAR", "captions_val.json"])
def test_a_folder_with_data_is_none_of_classes(tmp_path, file):
    put(tmp_path / "images" / "1.png")
    assert is_class_folders(tmp_path)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    assert not is_class_folders(tmp_path)
    assert not is_class_folders(tmp_path / file)


def test_refusals(tmp_path):
    with pytest.raises(DataError, match="nowhere: there is no such folder of classes"):
        class_folders(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no folder of a class is here"):
        class_folders(tmp_path)
    (tmp_path / "ant").mkdir()
    with pytest.raises(DataError, match="ant: no picture of this class is here"):
        class_folders(tmp_path)
    put(tmp_path / "ant" / "1.png")
    with pytest.raises(
        DataError, match="all pictures are in one folder, 'ant', and classes are at"
    ):
        class_folders(tmp_path)
