"""How a comparison goes: on a terminal the best so far and the cell at work, elsewhere a line a cell."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.text import Text

from zoo.cli.console import err, table
from zoo.comparison.metric import Metric

if TYPE_CHECKING:
    from zoo.comparison.cells import Cell
    from zoo.comparison.results import Result

__all__ = ["Board"]

_SHOWN = 10


class Board:
    """A context in which cells run; `watch` and `progress` are told of them.

    Args:
        metric: whose value is shown, by the name it ranks under.
    """

    def __init__(self, cells: list[Cell], metric: str) -> None:
        self.cells, self.metric = cells, Metric.of(metric)
        self.finished = self.failed = 0
        self._console = err()
        self._live: Live | None = None
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4)
        self._scores: dict[str, list[float]] = {}
        self._now = self._doing = ""
        self._began = 0.0
        self._spent: list[float] = []

    def __enter__(self) -> Board:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)

    def progress(self, title: str, done: int, total: int) -> None:
        self._doing = f"{title} {done}/{total}"
        self._show()

    def watch(self, number: int, result: Result | None) -> None:
        cell = self.cells[number]
        if result is None:
            self._now, self._began = cell.name, time.perf_counter()
            self._show()
            return
        ran = self._now == cell.name
        if ran:
            self._spent.append(time.perf_counter() - self._began)
        self._now = self._doing = ""
        self.finished += not result.failed
        self.failed += result.failed
        said = f"{self._spent[-1]:.1f} s" if ran else "kept"
        if result.ranks:
            shares = {
                split: self.metric.of_concepts(ranks).mean().item()
                for split, ranks in result.ranks.items()
            }
            self._scores.setdefault(cell.variation.name, []).append(shares["validation"])
            said += "".join(f"  {split} {share:.1%}" for split, share in shares.items())
        else:
            said += f"  failed: {result.error}"
        if self._live is None or result.failed:
            self.say(f"{number + 1:>4}/{len(self.cells)}  {cell.name}  {said}")
        self._show()

    def _show(self) -> None:
        if self._live is None:
            return
        best = sorted(self._scores.items(), key=lambda each: -sum(each[1]) / len(each[1]))
        shown = table("the best so far", "seeds", "validation")
        for name, scores in best[:_SHOWN]:
            shown.add_row(name, str(len(scores)), f"{sum(scores) / len(scores):.1%}")
        done = self.finished + self.failed
        left = len(self.cells) - done
        ahead = ""
        if self._spent:
            ahead = f", about {left * sum(self._spent) / len(self._spent) / 60:.0f} min ahead"
        failed = f", {self.failed} failed" if self.failed else ""
        status = Text(f"{done} of {len(self.cells)} cells{failed}{ahead}")
        self._live.update(Group(shown, status, Text(f"{self._now}  {self._doing}")))
