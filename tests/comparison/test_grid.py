"""Grids as data: what is varied, what it is called, and what is refused."""

import pytest

from zoo.cli.console import values_from
from zoo.comparison.grid import grid_of, is_grid_file, read_grid, variations
from zoo.errors import SpecError


def of(**given):
    return grid_of({"base": "resnet50-clip", **given}, "g.toml")


def test_every_combination_and_then_the_listed_ones():
    found = variations(
        of(
            grid={"image": {"head": ["linear", {"name": "mlp-gelu", "args": {"hidden_dim": 8}}]},
                  "train.epochs": [1, 2]},
            variation=[{"name": "wide", "set": {"embedding_dim": 64}}],
        )
    )  # fmt: skip
    assert [each.name for each in found] == [
        "linear, 1",
        "linear, 2",
        "mlp-gelu hidden_dim=8, 1",
        "mlp-gelu hidden_dim=8, 2",
        "wide",
    ]
    assert found[1].changes == {"image.head": "linear", "train.epochs": 2}
    assert found[1].labels == {"image.head": "linear", "train.epochs": "2"}
    assert (found[4].labels, found[4].changes) == ({}, {"embedding_dim": 64})


def test_a_value_with_a_label_sets_several_paths():
    both = {"image.head": "identity", "embedding_dim": 2048}
    (found,) = variations(of(grid={"head": [{"label": "none", "set": both}]}))
    assert (found.name, found.labels, found.changes) == ("none", {"head": "none"}, both)


def test_a_file_and_a_spec_beside_it(tmp_path):
    path = tmp_path / "g.toml"
    path.write_text('base = "mine.toml"\nseeds = [3]\n[grid]\nloss = ["siglip"]\n')
    assert is_grid_file(str(path))
    assert read_grid(path).base == str(tmp_path / "mine.toml")
    spec = tmp_path / "mine.toml"
    spec.write_text('base = "resnet50-clip"\n[train]\nepochs = 1\n')
    assert not is_grid_file(str(spec))
    assert not is_grid_file("resnet50-clip")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"grids": {}}, r"grids \(g.toml\): unknown key 'grids'; here belong base, .* mean 'grid'"),
        ({"variation": [{"nam": "x"}]}, r"variation.0.name \(g.toml\): missing, and required"),
        ({"variation": [{"name": "x", "sets": {}}]}, r"unknown key 'sets'; here belong name, set"),
        ({"seeds": [1, 2, 1]}, r"seeds \(g.toml\): 1 stands there twice"),
        ({"seeds": []}, r"seeds \(g.toml\): list should have at least 1 item"),
        ({"seeds": [-1]}, r"seeds.0 \(g.toml\): input should be greater than or equal to 0"),
        ({"base": 3}, r"base \(g.toml\): input should be a valid string, not 3"),
    ],
)
def test_files_that_are_refused(given, said):
    with pytest.raises(SpecError, match=said):
        of(**given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, r"g.toml: nothing is varied; write a table \[grid\]"),
        ({"grid": {"loss": "siglip"}}, r"grid.loss \(g.toml\): a list of values, not 'siglip'"),
        ({"grid": {"loss": []}}, r"grid.loss \(g.toml\): a list of values, not \[\]"),
        ({"grid": {"loss": ["siglip", "siglip"]}}, r"two variations are called 'siglip'; give"),
        ({"grid": {"loss": [{"label": 1, "set": {}}]}}, r"grid.loss .*: a label is a text"),
    ],
)
def test_variations_that_are_refused(given, said):
    with pytest.raises(SpecError, match=said):
        variations(of(**given), "g.toml")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("linear,mlp-gelu", ["linear", "mlp-gelu"]),
        ("0,1,2", [0, 1, 2]),
        ("1e-3, true , none", [1e-3, True, "none"]),
        ("{last=1},head", [{"last": 1}, "head"]),
        ('{name="mlp-gelu",args={hidden_dim=8,normalize=true}},"a,b"',
         [{"name": "mlp-gelu", "args": {"hidden_dim": 8, "normalize": True}}, "a,b"]),
        ("[1,2],[3]", [[1, 2], [3]]),
        ("", []),
    ],
)  # fmt: skip
def test_values_on_the_command_line(text, values):
    assert values_from(text) == values
