"""From the results of cells to a ranking: means and spreads over seeds, and which differences hold."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

import torch
from torch import Tensor

from zoo.comparison.cells import Cell
from zoo.comparison.metric import METRIC, Metric
from zoo.comparison.results import Result, Split
from zoo.comparison.statistics import DRAWS, difference, holm, mean, sign_flip_p
from zoo.comparison.summary import (
    Difference,
    Entry,
    Failed,
    Interval,
    Level,
    OverSeeds,
    Summary,
)
from zoo.errors import DataError
from zoo.evaluation.bootstrap import Estimate
from zoo.report.machine import machine

__all__ = ["summarise"]

_KS = (1, 5, 10)


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
    metrics: dict[Split, dict[str, OverSeeds]] = {}
    for split in ("validation", "test"):
        metrics[split] = {}
        for direction in ("image_to_text", "text_to_image"):
            for name in (*(f"recall@{k}" for k in _KS), "map"):
                said = f"{direction}.{name}"
                per_seed = _values(group, split, Metric.of(said)).mean(1).tolist()
                metrics[split][said] = _over_seeds(per_seed)
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


def _over_seeds(values: list[float]) -> OverSeeds:
    return OverSeeds(
        mean=fmean(values), sd=stdev(values) if len(values) > 1 else None, values=values
    )


def _interval(found: Estimate) -> Interval:
    return Interval(value=found.value, low=found.low, high=found.high)


def _computed(results: Sequence[Result]) -> dict[str, str]:
    known = machine()
    said = results[0].computed if results else {}
    return {**said, **{name: known[name] for name in ("threads", "processor", "torch", "clip-zoo")}}
