"""Weights files are the pinned ones, or the ones that were there first."""

import os
import subprocess
import sys

import pytest

from zoo.cache import data_folder
from zoo.errors import WeightsError
from zoo.weights.hub import hub_file
from zoo.weights.record import forget, pin_of, recorded_if_usable, records, verified

SOURCE = "https://example.org/weights.pth"
HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
CLIP = "hf://openai/clip-vit-base-patch32@3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268"


@pytest.fixture(autouse=True)
def _nothing_is_pinned_by_hand(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "empty"))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"hello")
    return path


def test_the_first_one_is_recorded_and_holds(file):
    assert verified(file, SOURCE) == HELLO
    assert [each.sha256 for each in records()] == [HELLO]
    file.write_bytes(b"other")
    with pytest.raises(WeightsError) as raised:
        verified(file, SOURCE)
    assert str(raised.value) == (
        f"{file}: not the file of {SOURCE} that was there when zoo first read it: sha256 is "
        f"d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa, and should be {HELLO}. "
        "Delete it and let it be fetched again; if it is meant to be another one: zoo cache forget "
        f"{SOURCE}"
    )
    assert [each.file for each in forget(SOURCE)] == ["weights.pth"]
    assert verified(file, SOURCE) != HELLO


def test_a_file_is_read_again_only_when_it_changed(file, monkeypatch):
    verified(file, SOURCE)

    def never(path):
        raise AssertionError("read again")

    monkeypatch.setattr("zoo.weights.record.sha256_of", never)
    assert verified(file, SOURCE) == HELLO
    os.utime(file, ns=(1, 1))
    with pytest.raises(AssertionError, match="read again"):
        verified(file, SOURCE)


def test_the_same_content_fetched_again_is_fine(file):
    verified(file, SOURCE)
    file.unlink()
    file.write_bytes(b"hello")
    assert verified(file, SOURCE) == HELLO


def test_pins_of_ones_own(file):
    data_folder().mkdir(parents=True)
    pins = data_folder() / "pins.toml"
    pins.write_text(f'["{SOURCE}"]\n"weights.pth" = "{HELLO}"\n')
    assert verified(file, SOURCE) == HELLO
    pins.write_text(f'["{SOURCE}"]\n"weights.pth" = "{"0" * 64}"\n')
    with pytest.raises(WeightsError, match=rf"pinned in {pins}: sha256 is 2cf.*fetched again$"):
        verified(file, SOURCE)
    pins.write_text("nonsense")
    with pytest.raises(WeightsError, match=r"pins.toml: the pins cannot be read: "):
        verified(file, SOURCE)


def test_a_file_that_cannot_be_used_is_not_recorded(file):
    @recorded_if_usable()
    def build():
        verified(file, SOURCE)
        raise KeyError

    with pytest.raises(KeyError):
        build()
    assert list(records()) == []
    with recorded_if_usable():
        verified(file, SOURCE)
    assert len(list(records())) == 1


def test_what_several_read_is_hashed_once_and_recorded_together(file, monkeypatch):
    from zoo.weights import record

    hashed = []
    monkeypatch.setattr(
        record, "sha256_of", lambda path, real=record.sha256_of: hashed.append(path) or real(path)
    )
    with recorded_if_usable():
        for _ in range(2):
            with recorded_if_usable():
                verified(file, SOURCE)
        assert list(records()) == []
    assert len(list(records())) == len(hashed) == 1


def test_the_reference_is_pinned():
    pin, place = pin_of(CLIP, "pytorch_model.bin")
    assert pin == "a63082132ba4f97a80bea76823f544493bffa8082296d62d71581a4feff1576f"
    assert place.parts[-2:] == ("weights", "pins.toml")


def test_a_damaged_record_is_made_again(file):
    verified(file, SOURCE)
    (record,) = data_folder("weights").glob("*.json")
    record.write_text("{")
    assert list(records()) == []
    assert verified(file, SOURCE) == HELLO
    assert len(list(records())) == 1


def test_a_data_folder_that_cannot_be_written(file):
    data_folder().write_text("in its place")
    assert verified(file, SOURCE) == HELLO


def test_other_files_under_a_pinned_name_are_refused(clip_in_hub_cache):
    """Without the stand-in's own pins, it is not the file that OpenAI published."""
    with pytest.raises(WeightsError, match=r"not the file of hf://openai/.* pinned in .*pins.toml"):
        hub_file(
            "openai/clip-vit-base-patch32",
            ["config.json"],
            "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268",
        )


def test_another_checkpoint_in_the_cache_is_refused(resnet50_in_torch_hub):
    code = "import zoo; print(zoo.build('resnet50-clip', towers='image').provenance)"
    first = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (record,) = records()
    assert record.sha256 in first.stdout
    assert record.source == "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"
    before = resnet50_in_torch_hub.read_bytes()
    try:
        changed = bytearray(before)
        changed[len(changed) // 2] ^= 1
        resnet50_in_torch_hub.write_bytes(changed)
        again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    finally:
        resnet50_in_torch_hub.write_bytes(before)
    assert again.returncode
    assert "image.encoder (" in again.stderr
    assert "that was there when zoo first read it" in again.stderr
