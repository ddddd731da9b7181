"""What a comparison found, as a page: ranking, quality against cost, axes, and every run's spec."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

from zoo.comparison import tables
from zoo.comparison.cells import Cell
from zoo.comparison.markdown import method
from zoo.comparison.summary import Entry, Summary
from zoo.comparison.tables import Table, said_metric
from zoo.report.page import Section, code, notes, page, table
from zoo.report.plots import Bar, Point, interval_chart, scatter_chart

__all__ = ["to_html"]

_BARS = 25
_COLOURS = 6
_ALIKE = 1.05
"""Costs whose greatest is below so many times the least are not drawn."""
_LABEL = 36


def to_html(summary: Summary, cells: Sequence[Cell]) -> str:
    """A page of one file.

    Args:
        cells: whose specs are shown.
    """
    best = (
        f"{summary.entries[0].name} is first of {len(summary.entries)}" if summary.entries else ""
    )
    return page(
        f"Comparison on {summary.data['name']}",
        list(_sections(summary, cells)),
        lead=best or "No cell has a result.",
        footer=f"{summary.data['attribution']}; licence {summary.data['licence']}",
    )


def _sections(summary: Summary, cells: Sequence[Cell]) -> Iterator[Section]:
    if summary.failed:
        why = "In no average, and models with a failed seed rank last."
        yield Section("Failed", [why, notes(tables.failures(summary), kind="error")])
    if summary.entries:
        yield Section("Ranking", [_table(tables.ranking(summary), names=1), method(summary)])
        yield Section("Quality and cost", list(_charts(summary)))
    for axis, levels in summary.axes.items():
        shown = _table(tables.axis(axis, levels))
        yield Section(axis, ["Means over combinations of everything else.", shown])
    specs = {cell.variation.name: cell for cell in reversed(cells)}
    yield Section(
        "Specs",
        [
            f"Of each variation with its first seed; with the others, train.seed and train.data_seed "
            f"differ. The base is {summary.base}.",
            *(code(name, _said(specs[name])) for name in reversed(specs)),
        ],
    )


def _charts(summary: Summary) -> Iterator[str]:
    colour = _colours(summary.entries)
    yield interval_chart(
        f"{said_metric(summary.metric)}, test",
        [
            Bar(each.name, each.test.value, each.test.low, each.test.high, colour(each))
            for each in summary.entries[:_BARS]
        ],
        x="",
        scale="percent",
    )
    costs: list[tuple[str, Callable[[Entry], float]]] = [
        ("seconds of training", lambda each: each.train_seconds),
        ("trainable parameters", lambda each: float(each.trainable)),
        ("GFLOP a picture", lambda each: each.gflop_per_picture),
    ]
    for title, cost in costs:
        known = [cost(each) for each in summary.entries]
        if max(known) < _ALIKE * min(known) or len(known) < 2:
            continue
        front = _front(summary.entries, cost)
        yield scatter_chart(
            f"Quality against {title}",
            [
                Point(
                    _cut(each.name) if each.name in front else "",
                    cost(each),
                    each.test.value,
                    group=colour(each),
                )
                for each in summary.entries
            ],
            x=title,
            y="test",
            x_scale="log" if min(known) > 0 else "linear",
            y_scale="percent",
        )


def _front(entries: Sequence[Entry], cost: Callable[[Entry], float]) -> set[str]:
    """Those that no cheaper one, nor one of the same cost, is better than: the names shown."""
    found: set[str] = set()
    highest = -1.0
    for each in sorted(entries, key=lambda each: (cost(each), -each.test.value)):
        if each.test.value > highest:
            highest = each.test.value
            found.add(each.name)
    return found


def _colours(entries: Sequence[Entry]) -> Callable[[Entry], str]:
    """The axis that groups points: the first with few values."""
    for axis in entries[0].labels:
        values = {each.labels.get(axis, "") for each in entries}
        if 1 < len(values) <= _COLOURS:
            return lambda each: each.labels.get(axis, "")
    return lambda each: ""


def _table(found: Table, names: int = 0) -> str:
    """The columns of numbers unbroken."""
    rows = [
        [
            cell if column == names else cell.replace(" ", "\u00a0")
            for column, cell in enumerate(row)
        ]
        for row in found.rows
    ]
    return table(found.columns, rows, names=names)


def _cut(name: str) -> str:
    return name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…"


def _said(cell: Cell) -> str:
    return json.dumps(cell.spec.model_dump(mode="json"), indent=2, ensure_ascii=False)
