"""`zoo eval`: what it prints, draws and refuses."""

import json
import sys

import pytest
import shades
import torch

import layouts
import zoo
import zoo_tiny
from zoo.cli.main import main
from zoo.data.class_folders import class_folders
from zoo.evaluation.suite import Suite


@pytest.fixture
def zoo_eval(monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["zoo", "eval", *map(str, words)])
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = stop.code or 0
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def saved(tmp_path, install):
    install("zoo-tiny", zoo_tiny.ENTRY_POINTS)
    torch.manual_seed(0)
    model = zoo.build(zoo_tiny.SPEC)
    zoo.save(model, tmp_path / "tiny")
    return model


@pytest.fixture
def colours(tmp_path):
    names = {"red": "red", "blue": "deep_blue"}
    return shades.class_folders(tmp_path / "colours", {"train": 4, "test": 2}, names, (16, 16))


def test_everything_as_json(zoo_eval, saved, colours, tmp_path):
    words = ["--retrieval", "--zero-shot", "--linear-probe", "--knn", "--neighbours", 3, "--json"]
    status, out, err = zoo_eval(
        "tiny", "--data", colours, *words, "--out", tmp_path / "drawn", "-k", 1
    )
    assert status == 0, err
    result = json.loads(out)
    suite = Suite(zoo.load("tiny"), class_folders(colours))
    recall = result["retrieval"]["image_to_text"]["recall@1"]
    assert recall["value"] == suite.retrieval().image_to_text.recall(1)
    assert result["retrieval"]["captions_of_several_pictures"] == 4
    assert result["pictures"] == 4
    assert set(result["retrieval"]["text_to_image"]) == {
        "recall@1",
        "mean_rank",
        "median_rank",
        "map",
    }
    for task in ("linear_probe", "knn"):
        assert result[task]["accuracy@1"] == {"value": 1.0, "low": 1.0, "high": 1.0}
        assert result[task]["classes"] == 2
        assert [each["class"] for each in result[task]["per_class"]] == ["deep blue", "red"]
    assert 0 < result["zero_shot"]["ece"]["value"] < 1
    assert result["zero_shot"]["scale"] == pytest.approx(1 / 0.07)
    assert result["intervals"] == {"level": 0.95, "draws": 1000, "seed": 0, "unit": "picture"}
    drawn = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    names = ["knn.png", "linear_probe.png", "retrieval.png", "similarity.png", "zero_shot.png"]
    assert drawn == names
    assert json.loads(zoo_eval("tiny", "--data", colours, *words, "-k", 1)[1]) == {
        key: value for key, value in result.items() if key != "drawn"
    }


def test_tables(zoo_eval, saved, colours):
    status, out, _ = zoo_eval("tiny", "--data", colours, "--knn", "--neighbours", 3)
    assert status == 0
    assert "tiny on colours, test: 4 pictures" in out
    assert "accuracy@1" in out
    assert "100.0%  [100.0% to 100.0%]" in out
    assert "zero shot" not in out
    assert "zero shot" in zoo_eval("tiny", "--data", colours)[1]
    out = zoo_eval("tiny", "--data", colours, "--retrieval", "--per-concept")[1]
    assert "2 captions; 0 of them are of several pictures" in out
    assert "median_rank" in out


def test_a_registered_dataset_is_for_retrieval(zoo_eval, saved, colours):
    zoo.register("dataset", "mine", lambda: class_folders(colours))
    assert "image to text" in zoo_eval("tiny", "--data", "mine", "--split", "train")[1]


def test_a_table_is_opened_as_for_training(zoo_eval, saved, tmp_path):
    """With its splits: of twelve pictures, the eight that are for test."""
    layouts.folder(tmp_path / "made" / "images", 12)
    rows = [(f"{n:04}.jpg", f"picture {n}", "test" if n % 3 else "train") for n in range(12)]
    layouts.table(tmp_path / "made" / "pairs.csv", ("shown", "said", "split"), rows)
    words = ["tiny", "--data", "made", "--image-column", "shown", "--caption-column", "said"]
    status, out, err = zoo_eval(*words, "--images", "made/images", "--json")
    assert status == 0, err
    result = json.loads(out)
    assert (result["pictures"], result["retrieval"]["captions"]) == (8, 8)
    assert "zero_shot" not in result
    assert "data    splits: " in err
    status, _, err = zoo_eval("tiny", "--data", "made/images", "--image-column", "shown")
    assert (status, "made/images is a folder of classes, which has no table" in err) == (1, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tiny", "--data", "colurs"], "error: unknown dataset 'colurs'"),
        (["tiny", "--data", "colours", "--split", "tst"], "no split 'tst'; it has train, test"),
        (["tiny", "--data", "colours", "--prompts", "phto"], "no prompts 'phto'; there are name"),
        (
            ["tiny", "--data", "colours", "--precision", "fp16"],
            "the precision is auto, fp32 or bf16",
        ),
        (["tiny", "--data", "colours", "--level", "95"], "the level of an interval is between 0"),
        (["tiny", "--data", "colours", "--knn"], "from 1 to the 8 training pictures, not 20"),
        (
            ["tiny", "--data", "colours", "--set", "embedding_dim=3"],
            "tiny: a saved model is taken as",
        ),
        (["tny", "--data", "colours"], "error: unknown model 'tny'"),
        (["colours", "--data", "colours"], "no saved model here (zoo.json is missing)"),
        (
            ["tiny", "--data", "colours", "--out", "zoo.toml"],
            "zoo.toml: not a folder, and the pictu",
        ),
    ],
)
def test_what_goes_wrong(zoo_eval, saved, colours, user_registry, words, said):
    user_registry("")
    status, out, err = zoo_eval(*words)
    assert (status, out) == (1, "")
    assert said in err
    assert "Traceback" not in err
