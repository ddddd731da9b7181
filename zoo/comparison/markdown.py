"""What a comparison found, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.comparison.summary import Difference, Entry, Interval, Level, Spread, Summary

__all__ = [
    "axes",
    "failures",
    "method",
    "ranking",
    "said_difference",
    "said_metric",
    "said_p",
    "said_seeds",
    "said_share",
    "said_spread",
    "to_markdown",
]


def to_markdown(summary: Summary) -> str:
    """Ranking, axes, failures and how it was done."""
    parts = [ranking(summary), axes(summary), failures(summary), method(summary)]
    return "\n\n".join(part for part in parts if part) + "\n"


def ranking(summary: Summary) -> str:
    """A row for each variation, the best first; empty where nothing has a result."""
    if not summary.entries:
        return ""
    columns = ["#", "model", "seeds", "validation", "test", "test, to the best", "p"]
    columns += ["training s", "pairs/s", "trainable", "parameters", "GFLOP"]
    rows = [
        (
            str(each.place),
            each.name,
            said_seeds(each),
            said_spread(each.metrics["validation"][summary.metric]),
            said_spread(each.metrics["test"][summary.metric]),
            said_difference(each.difference),
            said_p(each.difference),
            f"{each.train_seconds:.1f}",
            f"{each.pairs_per_second:,.0f}",
            f"{each.trainable:,}",
            f"{each.parameters:,}",
            f"{each.gflop_per_picture:.2f}",
        )
        for each in summary.entries
    ]
    return _table(columns, rows)


def axes(summary: Summary) -> str:
    """A table for each axis of the grid."""
    return "\n\n".join(_axis(axis, levels) for axis, levels in summary.axes.items())


def failures(summary: Summary) -> str:
    """What failed and why; empty where nothing did."""
    if not summary.failed:
        return ""
    said = [f"- {each.name}, seed {each.seed}: {each.error}" for each in summary.failed]
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


def _axis(axis: str, levels: Sequence[Level]) -> str:
    return _table(
        (f"`{axis}`", "combinations", "validation", "test", "test, to the best", "p"),
        [
            (
                each.value,
                str(each.variations),
                said_share(each.validation),
                said_share(each.test),
                said_difference(each.difference),
                said_p(each.difference),
            )
            for each in levels
        ],
    )


def said_metric(name: str) -> str:
    """`image→text recall@1`."""
    return name.replace("_to_", "→").replace(".", " ")


def said_seeds(entry: Entry) -> str:
    """How many there are, and of how many where some failed."""
    there = len(entry.seeds)
    return f"{there} of {there + len(entry.failed)}" if entry.failed else str(there)


def said_spread(found: Spread) -> str:
    """`31.2 ± 0.4 %`; without the spread of one seed."""
    if found.sd is None:
        return said_share(found.mean)
    return f"{100 * found.mean:.1f} ± {100 * found.sd:.1f} %"


def said_share(share: float) -> str:
    return f"{100 * share:.1f} %"


def said_difference(found: Difference | None) -> str:
    """`−3.1 (−5.0 to −1.2)`, in percentage points; empty for the best."""
    return "" if found is None else _points(found.interval)


def said_p(found: Difference | None) -> str:
    """The corrected p value."""
    if found is None:
        return ""
    return "< 0.001" if found.corrected < 0.001 else f"{found.corrected:.3f}"


def _points(found: Interval) -> str:
    value = _signed(found.value)
    if found.low is None or found.high is None:
        return value
    return f"{value} ({_signed(found.low)} to {_signed(found.high)})"


def _signed(share: float) -> str:
    rounded = round(100 * share, 1) + 0.0  # no minus before a zero
    return f"{rounded:+.1f}".replace("-", "−") if rounded else "0.0"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(each.replace("|", "\\|") for each in row) + " |" for row in rows]
    return "\n".join(lines)
