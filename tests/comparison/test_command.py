"""`zoo compare`: what it prints and writes, and how it ends."""

import io
import json

import pytest
from rich.console import Console

from zoo.comparison.summary import Summary

FAST = ("--set", "train.epochs=1", "--set", "train.batch_size=8", "--set", "train.workers=0")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "compared"


def test_a_grid_from_flags(zoo_compare, data, base, out):
    status, said, err = zoo_compare(
        base,
        "--data",
        data,
        "--out",
        out,
        "--vary",
        "loss=info-nce,siglip",
        "--seeds",
        "0,1",
        *FAST,
    )
    assert status == 0
    assert "4/4  siglip, seed 1" in err
    for words in ("test, to the best", "info-nce", "7 validation and 9 test concepts"):
        assert words in " ".join(said.split())
    found = Summary.model_validate_json((out / "results.json").read_text())
    assert [each.seeds for each in found.entries] == [[0, 1], [0, 1]]
    assert (out / "results.md").read_text().startswith("| # | model |")
    assert "<svg" in (out / "report.html").read_text()
    status, said, err = zoo_compare(
        base, "--data", data, "--out", out, "--vary", "loss=info-nce,siglip", "--seeds", "0,1",
        "--json", *FAST,
    )  # fmt: skip
    assert status == 0
    assert json.loads(said) == json.loads((out / "results.json").read_text())
    assert err.count("kept") == 4
    assert Summary.model_validate(json.loads(said)) == found


def test_a_grid_file_with_flags_over_it(zoo_compare, data, base, out, tmp_path):
    file = tmp_path / "g.toml"
    file.write_text(
        f'base = "{base.name}"\ndata = "{data}"\nseeds = [0, 1, 2]\n'
        '[train]\nepochs = 1\nbatch_size = 8\nworkers = 0\n[grid]\nloss = ["info-nce"]\n'
    )
    status, said, _ = zoo_compare(
        file, "--out", out, "--vary", "image.head=linear,mlp-gelu", "--seeds", "4", "--json"
    )
    assert status == 0
    found = Summary.model_validate(json.loads(said))
    assert {each.name for each in found.entries} == {"info-nce, linear", "info-nce, mlp-gelu"}
    assert {tuple(each.seeds) for each in found.entries} == {(4,)}


def test_cells_that_fail_are_said_at_the_end(zoo_compare, data, base, out):
    words = (base, "--data", data, "--out", out, "--vary", "image.head=linear,identity", *FAST)
    status, said, err = zoo_compare(*words)
    assert status == 1
    assert "error: 1 of 2 cells failed; the same command tries them again:" in err
    assert "identity, seed 0: image.head" in err.rpartition("tries them again")[2]
    assert "linear" in said
    status, said, err = zoo_compare(*words[: -len(FAST) - 1], "image.head=identity", *FAST)
    assert status == 1
    assert "no cell has a result" in said
    assert "identity, seed 0" in (out / "results.md").read_text()
    assert (out / "report.html").is_file()


def test_ctrl_c_says_what_is_kept(zoo_compare, data, base, out, monkeypatch):
    import zoo.comparison.run as module

    trained = []

    def train(*args, _real=module.train, **kwargs):
        if trained:
            raise KeyboardInterrupt
        trained.append(_real(*args, **kwargs))

    monkeypatch.setattr(module, "train", train)
    words = (base, "--data", data, "--out", out, "--vary", "loss=info-nce,siglip", *FAST)
    status, _, err = zoo_compare(*words)
    assert status == 130
    assert "stopped: 1 of 2 cells are finished and kept in" in err
    assert len(list((out / "cells").glob("*.json"))) == 1
    monkeypatch.undo()


def test_a_terminal_shows_the_best_so_far(zoo_compare, data, base, out, monkeypatch):
    import zoo.cli.board as module

    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=90, highlight=False)
    monkeypatch.setattr(module, "err", lambda: terminal)
    words = (base, "--data", data, "--out", out, *FAST)
    status, _, err = zoo_compare(*words, "--vary", "image.head=linear,identity")
    assert status == 1
    for said in ("the best so far", "2 of 2 cells, 1 failed", "identity, seed 0"):
        assert said in screen.getvalue()
    assert "linear, seed 0" not in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--vary", "image.head=linear,linaer"), "error: {base}: 1 of 2 variations are not valid"),
        (("--vary", "image.head"), "--vary 'image.head': write PATH=A,B"),
        ((), "nothing is varied"),
        (
            ("--vary", "loss=siglip", "--seeds", "a"),
            "seeds.0 ({base}): input should be a valid int",
        ),
        (("--vary", "loss=siglip", "--metric", "top1"), "the metric 'top1' is none of"),
    ],
)
def test_what_is_refused_before_anything_starts(zoo_compare, data, base, out, words, said):
    status, _, err = zoo_compare(base, "--data", data, "--out", out, *words)
    assert status == 1
    assert said.format(base=base) in err
    assert not out.exists()


def test_without_data(zoo_compare, data, base, out):
    status, _, err = zoo_compare(base, "--out", out, "--vary", "loss=siglip")
    assert status == 1
    assert "which data? Give --data, or write data = … into the grid" in err
