"""A comparison of models of a few numbers, on pictures of a few pixels."""

import csv
import sys

import pytest
from PIL import Image

import zoo_tiny
from zoo.cli.main import main
from zoo.comparison.cells import resolve_cells
from zoo.comparison.grid import grid_of
from zoo.comparison.ranking import summarise
from zoo.comparison.results import ResultFolder
from zoo.comparison.run import run_cells
from zoo.data.sources import open_dataset

SPLITS = {"train": 24, "validation": 7, "test": 9}


@pytest.fixture
def data(tmp_path, install):
    """A folder with a picture of its own colour for each caption; and the plugin of tiny encoders."""
    install("zoo-tiny", zoo_tiny.ENTRY_POINTS)
    folder = tmp_path / "colours"
    folder.mkdir()
    rows = [("file_name", "caption", "split")]
    for split, count in SPLITS.items():
        for number in range(count):
            level = 255 * number // count
            colour = (level, 255 - level, len(split) * 20)
            Image.new("RGB", (8, 8), colour).save(folder / f"{split}{number}.png")
            rows.append((f"{split}{number}.png", "abcdefghijklmnopqrstuvwxyz"[number] * 3, split))
    with (folder / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture
def base(tmp_path):
    """A spec file of the tiny model."""
    path = tmp_path / "tiny.toml"
    path.write_text(
        "embedding_dim = 4\n"
        'image = { encoder = "tiny-image", weights = "none", head = "linear", train = "head" }\n'
        'text = { encoder = "tiny-text", weights = "none", head = "identity", train = "frozen" }\n'
    )
    return path


@pytest.fixture
def grid(base):
    """A grid over it: `grid(seeds=[0, 1], grid={"loss": […]})`."""

    def make(**given):
        train = {"epochs": 2, "batch_size": 8, "workers": 0, **given.pop("train", {})}
        return grid_of({"base": str(base), "train": train, **given}, "a grid")

    return make


@pytest.fixture
def compared(data, tmp_path):
    """Runs a grid: `cells, results, summary, ran`, the last with the numbers of the cells that ran."""

    def run(grid, watch=None):
        cells, ran = resolve_cells(grid, "a grid"), []

        def note(number, result):
            if result is None:
                ran.append(number)
            if watch:
                watch(number, result)

        dataset = open_dataset(data)
        results = run_cells(cells, dataset, ResultFolder(tmp_path / "out" / "cells"), watch=note)
        said = {"name": dataset.name, "licence": "none", "attribution": "ours"}
        return cells, results, summarise(cells, results, base=grid.base, data=said), ran

    return run


@pytest.fixture
def zoo_compare(monkeypatch, capsys):
    """The command: exit status, stdout and stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["zoo", "compare", *map(str, words)])
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = stop.code or 0
        said = capsys.readouterr()
        return status, said.out, said.err

    return run
