"""The tables of a comparison as columns and rows of text, for whatever shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zoo.comparison.summary import Difference, Entry, Interval, Level, OverSeeds, Summary

__all__ = ["Table", "axis", "failures", "ranking", "said_metric"]


@dataclass(frozen=True)
class Table:
    """A text for each column of each row."""

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def without(self, *columns: str) -> Table:
        """A narrower one."""
        kept = [number for number, each in enumerate(self.columns) if each not in columns]
        return Table(
            tuple(self.columns[each] for each in kept),
            [tuple(row[each] for each in kept) for row in self.rows],
        )


def ranking(summary: Summary) -> Table:
    """A row for each variation, the best first."""
    columns: dict[str, Callable[[Entry], str]] = {
        "#": lambda each: str(each.place),
        "model": lambda each: each.name,
        "seeds": _seeds,
        "validation": lambda each: _over_seeds(each.metrics["validation"][summary.metric]),
        "test": lambda each: _over_seeds(each.metrics["test"][summary.metric]),
        "test, to the best": lambda each: _difference(each.difference),
        "p": lambda each: _p(each.difference),
        "training s": lambda each: f"{each.train_seconds:.1f}",
        "pairs/s": lambda each: f"{each.pairs_per_second:,.0f}",
        "trainable": lambda each: f"{each.trainable:,}",
        "parameters": lambda each: f"{each.parameters:,}",
        "GFLOP": lambda each: f"{each.gflop_per_picture:.2f}",
    }
    rows = [tuple(said(each) for said in columns.values()) for each in summary.entries]
    return Table(tuple(columns), rows)


def axis(name: str, levels: Sequence[Level]) -> Table:
    """A row for each value of an axis of the grid, the best first."""
    return Table(
        (name, "combinations", "validation", "test", "test, to the best", "p"),
        [
            (
                each.value,
                str(each.variations),
                _share(each.validation),
                _share(each.test),
                _difference(each.difference),
                _p(each.difference),
            )
            for each in levels
        ],
    )


def failures(summary: Summary) -> list[tuple[str, str]]:
    """Each cell without a result, and why."""
    return [(f"{each.name}, seed {each.seed}", each.error) for each in summary.failed]


def said_metric(name: str) -> str:
    """`image→text recall@1`."""
    return name.replace("_to_", "→").replace(".", " ")


def _seeds(entry: Entry) -> str:
    """How many, and of how many where some failed."""
    there = len(entry.seeds)
    return f"{there} of {there + len(entry.failed)}" if entry.failed else str(there)


def _over_seeds(found: OverSeeds) -> str:
    """`31.2 ± 0.4 %`; without the spread of one seed."""
    if found.sd is None:
        return _share(found.mean)
    return f"{100 * found.mean:.1f} ± {100 * found.sd:.1f} %"


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"


def _difference(found: Difference | None) -> str:
    """`−3.1 (−5.0 to −1.2)`, in percentage points; empty for the best."""
    return "" if found is None else _points(found.interval)


def _p(found: Difference | None) -> str:
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
