"""What a comparison found, as Markdown."""

from __future__ import annotations

from zoo.comparison import tables
from zoo.comparison.summary import Summary
from zoo.comparison.tables import Table, said_metric

__all__ = ["axes", "failures", "method", "ranking", "to_markdown"]


def to_markdown(summary: Summary) -> str:
    """Ranking, axes, failures and how it was done."""
    parts = [ranking(summary), axes(summary), failures(summary), method(summary)]
    return "\n\n".join(part for part in parts if part) + "\n"


def ranking(summary: Summary) -> str:
    """A row for each variation, the best first; empty where nothing has a result."""
    return _table(tables.ranking(summary)) if summary.entries else ""


def axes(summary: Summary) -> str:
    """A table for each axis of the grid."""
    found = [tables.axis(f"`{axis}`", levels) for axis, levels in summary.axes.items()]
    return "\n\n".join(map(_table, found))


def failures(summary: Summary) -> str:
    """What failed and why; empty where nothing did."""
    if not summary.failed:
        return ""
    said = [f"- {cell}: {error}" for cell, error in tables.failures(summary)]
    return "\n".join(["Failed, and in no average; models with a failed seed rank last:", "", *said])


def method(summary: Summary) -> str:
    """How the numbers were made, in words."""
    computed = summary.computed
    on = ", ".join(f"{name} {said}" for name, said in computed.items() if name != "processor")
    return (
        f"{summary.data['name']} ({summary.data['attribution']}; licence {summary.data['licence']}): "
        f"{said_metric(summary.metric)} among one picture and its name of each of "
        f"{summary.concepts['validation']} validation and {summary.concepts['test']} test concepts. "
        "The validation split ranks; the test split is reported, and compares. ± is the standard "
        "deviation over seeds. Differences are to the model that is first, with a 95 % bootstrap "
        "interval over concepts and seeds. p is of a paired permutation test over test concepts, "
        f"of their means over seeds ({summary.draws:,} random assignments of signs), corrected for "
        f"{max(len(summary.entries) - 1, 0)} comparisons after Holm. Computed on "
        f"{computed.get('processor', 'an unknown processor')} ({on})."
    )


def _table(found: Table) -> str:
    rows = [[each.replace("|", "\\|") for each in row] for row in found.rows]
    lines = ["| " + " | ".join(row) + " |" for row in (found.columns, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(found.columns), *lines[1:]])
