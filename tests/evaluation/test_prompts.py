"""Prompts: the sets that come with zoo, and files."""

import json

import pytest

from zoo.errors import DataError
from zoo.evaluation.prompts import load_prompts, prompt_sets


def test_the_sets_of_zoo():
    known = prompt_sets()
    assert {"name", "photo", "pictures", "drawings"} == set(known)
    for name, prompts in known.items():
        assert load_prompts(name) == prompts
        assert prompts.summary
        assert all("polar bear" in text and "{" not in text for text in prompts.texts("polar bear"))
    assert known["photo"].texts("cat") == ["a photo of a cat."]
    assert known["name"].texts("{c} {0}") == ["{c} {0}"]


def test_files(tmp_path):
    content = {"templates": ["a {c} and a {c}"], "names": {"n01440764": "tench"}}
    (tmp_path / "mine.json").write_text(json.dumps(content))
    (tmp_path / "mine.toml").write_text(
        'templates = ["a {c} and a {c}"]\n[names]\nn01440764 = "tench"\n'
    )
    one = load_prompts(str(tmp_path / "mine.json"))
    assert one == load_prompts(str(tmp_path / "mine.toml"))
    assert one.texts("tench") == ["a tench and a tench"]
    assert one.names == {"n01440764": "tench"}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("phto", None, "there are no prompts 'phto'; there are name, photo, .* mean 'photo'"),
        ("none.toml", None, "none.toml: the prompts cannot be read: No such file"),
        ("a.toml", "templates = [", "a.toml: not valid TOML: "),
        ("a.json", "{", "a.json: not valid JSON: "),
        ("a.json", "[]", "a.json: prompts: Input should be"),
        ("a.toml", "templates = []", "a.toml: templates: List should have at least 1 item"),
        ("a.toml", 'templates = ["a photo"]', "a.toml: templates: 'a photo' has no {c}, where the"),
        ("a.toml", 'template = ["{c}"]', "a.toml: templates: Field required"),
        ("a.toml", 'templates = ["{c}"]\nnmes = 1', "a.toml: nmes: Extra inputs are not permitted"),
    ],
)
def test_refusals(tmp_path, monkeypatch, name, text, said):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=said):
        load_prompts(name)
