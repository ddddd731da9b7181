"""From the results of cells to a ranking: means and spreads over seeds, and which differences hold."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from statistics import fmean, stdev
from typing import Any, Literal, cast

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from zoo.comparison.cells import Cell
from zoo.comparison.results import Ranks, Result, Split
from zoo.comparison.statistics import DRAWS, difference, holm, mean, sign_flip_p
from zoo.errors import DataError, SpecError
from zoo.evaluation.bootstrap import Estimate

__all__ = [
    "METRIC",
    "Difference",
    "Entry",
    "Failed",
    "Interval",
    "Level",
    "Metric",
    "Spread",
    "Summary",
    "summarise",
]

METRIC = "image_to_text.recall@1"
_KS = (1, 5, 10)
_ALPHA = 0.05


@dataclass(frozen=True)
class Metric:
    """What is compared: a direction, and what its ranks are worth. More is better."""

    direction: Literal["image_to_text", "text_to_image"]
    k: int | None
    """Of recall; None for the mean of 1 / rank, which is `map` with one right answer each."""

    @classmethod
    def of(cls, said: str) -> Metric:
        """From a name such as `text_to_image.recall@5`.

        Raises:
            SpecError: it is none.
        """
        found = re.fullmatch(r"(image_to_text|text_to_image)\.(recall@([1-9]\d*)|map)", said)
        if found is None:
            raise SpecError(
                f"the metric {said!r} is none of image_to_text.recall@K, image_to_text.map, "
                "text_to_image.recall@K and text_to_image.map"
            )
        direction = cast(Literal["image_to_text", "text_to_image"], found[1])
        return cls(direction, int(found[3]) if found[3] else None)

    def of_concepts(self, ranks: Ranks) -> Tensor:
        """Its value for each concept."""
        places = torch.tensor(getattr(ranks, self.direction))
        return 1 / places.double() if self.k is None else (places <= self.k).double()


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Spread(_Data):
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
    metrics: dict[Split, dict[str, Spread]]
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


def summarise(
    cells: Sequence[Cell],
    results: Sequence[Result],
    *,
    base: str,
    data: dict[str, str],
    metric: str = METRIC,
) -> Summary:
    """Rank the variations by the validation split, and compare them with the best on the test split.

    The split that ranks is not the one that tests: the best was not chosen by the concepts on which
    it is compared.

    Raises:
        SpecError: the metric is unknown.
        DataError: cells were judged on different concepts.
    """
    chosen = Metric.of(metric)
    _check_same_concepts(cells, results)
    groups: dict[str, list[tuple[Cell, Result]]] = {}
    failed: dict[str, list[int]] = {}
    for cell, result in zip(cells, results, strict=True):
        if result.failed:
            failed.setdefault(cell.variation.name, []).append(cell.seed)
        else:
            groups.setdefault(cell.variation.name, []).append((cell, result))
    by_validation = {
        name: _values(group, "validation", chosen).mean().item() for name, group in groups.items()
    }
    order = sorted(
        groups, key=lambda name: (name in failed, -by_validation[name], groups[name][0][1].key)
    )
    values = {name: _values(groups[name], "test", chosen) for name in order}
    differences = _differences([[values[name]] for name in order])
    entries = [
        _entry(place, groups[name], failed.get(name, []), values[name], differences[place - 1])
        for place, name in enumerate(order, 1)
    ]
    whole = [result for result in results if not result.failed]
    once = {result.key: result for result in results}.values()
    return Summary(
        base=base,
        data=data,
        concepts={
            split: len((whole[0].ranks or {})[split].image_to_text) if whole else 0
            for split in ("validation", "test")
        },
        metric=metric,
        draws=DRAWS,
        computed=_computed(results),
        entries=entries,
        axes=_axes([(groups[name][0][0], by_validation[name], values[name]) for name in order]),
        failed=[
            Failed(name=cell.variation.name, seed=cell.seed, error=result.error or "")
            for cell, result in zip(cells, results, strict=True)
            if result.failed
        ],
        seconds=sum(each.cost.seconds for each in once if each.cost),
    )


def _check_same_concepts(cells: Sequence[Cell], results: Sequence[Result]) -> None:
    """A picture that could be read for one cell and not for another leaves nothing to compare."""
    for split in ("validation", "test"):
        found = {
            len(result.ranks[split].image_to_text): (cell, result)
            for cell, result in zip(cells, results, strict=True)
            if result.ranks
        }
        if len(found) > 1:
            said = ", ".join(
                f"{cell.name} on {count} ({result.key}.json)"
                for count, (cell, result) in found.items()
            )
            raise DataError(
                f"cells were judged on different numbers of concepts of the {split} split: {said}; "
                "delete the files of those with fewer, and they run again"
            )


def _values(group: Sequence[tuple[Cell, Result]], split: Split, metric: Metric) -> Tensor:
    """The metric of every seed and concept."""
    return torch.stack([metric.of_concepts((each.ranks or {})[split]) for _, each in group])


def _differences(values: Sequence[Sequence[Tensor]]) -> list[Difference | None]:
    """Of each to the first, which has none; p values corrected for all of them.

    Args:
        values: of each one or several models, `(seeds, concepts)`.
    """
    if not values:
        return []
    means = [torch.stack([model.mean(0) for model in models]).mean(0) for models in values]
    best, *others = values
    found = [sign_flip_p(each - means[0]) for each in means[1:]]
    made = [
        Difference(interval=_interval(difference(each, best)), p=p, corrected=corrected)
        for each, p, corrected in zip(others, found, holm(found), strict=True)
    ]
    return [None, *made]


def _entry(
    place: int,
    group: Sequence[tuple[Cell, Result]],
    failed: list[int],
    test: Tensor,
    to_best: Difference | None,
) -> Entry:
    cell = group[0][0]
    costs = [result.cost for _, result in group if result.cost]
    metrics: dict[Split, dict[str, Spread]] = {}
    for split in ("validation", "test"):
        metrics[split] = {}
        for direction in ("image_to_text", "text_to_image"):
            for name in (*(f"recall@{k}" for k in _KS), "map"):
                said = f"{direction}.{name}"
                per_seed = _values(group, split, Metric.of(said)).mean(1).tolist()
                metrics[split][said] = _spread(per_seed)
    return Entry(
        place=place,
        name=cell.variation.name,
        labels=dict(cell.variation.labels),
        changes=dict(cell.variation.changes),
        seeds=[each.seed for each, _ in group],
        failed=failed,
        metrics=metrics,
        test=_interval(mean(test)),
        difference=to_best,
        trainable=costs[0].trainable,
        parameters=costs[0].parameters,
        gflop_per_picture=costs[0].gflop_per_picture,
        train_seconds=fmean(each.train_seconds for each in costs),
        pairs_per_second=fmean(each.pairs_per_second for each in costs),
    )


def _axes(ranked: Sequence[tuple[Cell, float, Tensor]]) -> dict[str, list[Level]]:
    """For each axis, its values by what they give on average, where all other things are equal.

    Averages are over the combinations of the other axes that have a result for every value.
    """
    gridded = [each for each in ranked if each[0].variation.labels]
    found: dict[str, list[Level]] = {}
    for axis in gridded[0][0].variation.labels if gridded else ():
        blocks: dict[tuple[str, ...], dict[str, tuple[float, Tensor]]] = {}
        for cell, validation, test in gridded:
            labels = cell.variation.labels
            others = tuple(labels[each] for each in labels if each != axis)
            blocks.setdefault(others, {})[labels[axis]] = (validation, test)
        said = list(dict.fromkeys(cell.variation.labels[axis] for cell, *_ in gridded))
        whole = [block for block in blocks.values() if len(block) == len(said)]
        if len(said) < 2 or not whole:
            continue
        by_validation = {value: fmean(block[value][0] for block in whole) for value in said}
        order = sorted(said, key=lambda value: -by_validation[value])
        tests = [[block[value][1] for block in whole] for value in order]
        found[axis] = [
            Level(
                value=value,
                variations=len(whole),
                validation=by_validation[value],
                test=fmean(model.mean().item() for model in test),
                difference=to_best,
            )
            for value, test, to_best in zip(order, tests, _differences(tests), strict=True)
        ]
    return found


def _spread(values: list[float]) -> Spread:
    return Spread(mean=fmean(values), sd=stdev(values) if len(values) > 1 else None, values=values)


def _interval(found: Estimate) -> Interval:
    return Interval(value=found.value, low=found.low, high=found.high)


def _computed(results: Sequence[Result]) -> dict[str, str]:
    said = results[0].computed if results else {}
    return {
        **said,
        "threads": str(torch.get_num_threads()),
        "processor": _processor(),
        "torch": torch.__version__,
        "clip-zoo": version("clip-zoo"),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
