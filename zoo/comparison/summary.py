"""What a comparison found, as data: `results.json`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from zoo.comparison.results import Split

__all__ = ["Difference", "Entry", "Failed", "Interval", "Level", "OverSeeds", "Summary"]

_ALPHA = 0.05


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class OverSeeds(_Data):
    """A number over seeds: mean, standard deviation (None of one seed), and each."""

    mean: float
    sd: float | None
    values: list[float]


class Interval(_Data):
    """A value with the ends of its 95 % interval."""

    value: float
    low: float | None
    high: float | None


class Difference(_Data):
    """To the best, on the test split."""

    interval: Interval
    p: float
    corrected: float
    """p for as many comparisons as there are."""

    @property
    def holds(self) -> bool:
        return self.corrected < _ALPHA


class Entry(_Data):
    """A variation with all its seeds."""

    place: int
    name: str
    labels: dict[str, str]
    changes: dict[str, Any]
    seeds: list[int]
    failed: list[int] = []
    """Seeds without a result, which may well be the worse ones: it ranks after all that have none."""
    metrics: dict[Split, dict[str, OverSeeds]]
    """By split and metric, such as `image_to_text.recall@1`."""
    test: Interval
    """The ranking metric on the test split, over concepts and seeds."""
    difference: Difference | None
    """None for the best itself."""
    trainable: int
    parameters: int
    gflop_per_picture: float
    train_seconds: float
    pairs_per_second: float


class Level(_Data):
    """A value of an axis of the grid, over all that the other axes have."""

    value: str
    variations: int
    validation: float
    test: float
    difference: Difference | None


class Failed(_Data):
    """A cell without a result."""

    name: str
    seed: int
    error: str


class Summary(_Data):
    """All that a comparison found."""

    format: Literal[1] = 1
    base: str
    data: dict[str, str]
    concepts: dict[Split, int]
    metric: str
    draws: int
    computed: dict[str, str]
    """Device, precision, threads, processor, versions."""
    entries: list[Entry]
    """The best on the validation split first."""
    axes: dict[str, list[Level]]
    failed: list[Failed]
    seconds: float
    """Of all cells together, whenever they ran."""
