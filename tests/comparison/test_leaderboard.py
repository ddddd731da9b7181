"""The committed leaderboard: what its grid asks for is what its results hold."""

from pathlib import Path

from zoo.comparison.grid import read_grid, variations
from zoo.comparison.summary import Summary

FOLDER = Path(__file__).parent.parent.parent / "docs" / "leaderboard"


def test_the_results_are_of_the_grid():
    grid = read_grid(FOLDER / "grid.toml")
    found = Summary.model_validate_json((FOLDER / "results.json").read_bytes())
    assert {each.name for each in found.entries} == {each.name for each in variations(grid)}
    assert all(each.seeds == grid.seeds for each in found.entries)
    assert found.failed == []
    assert Path(found.base).name == Path(grid.base).name
    assert found.data["name"] == grid.data
    sizes = {axis: len(levels) for axis, levels in found.axes.items()}
    assert sizes["head"] >= 5
    assert sizes["loss"] >= 5
    assert sizes["encoder"] >= 2
    assert len(grid.seeds) == 3
