"""How far long work is, on stderr: bars where somebody watches, else a plain line now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from zoo.cli.console import err

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from zoo.training.features import Progress

__all__ = ["Pace", "progress_bars"]

_WIDE = 140


class Pace:
    """When a plain line is due: soon at first, then as a share of the time so far, and at most so long.

    Args:
        first: seconds to the first line, and at least from one to the next.
        most: seconds at most from one to the next.
    """

    share = 0.2

    def __init__(self, first: float = 5.0, most: float = 600.0) -> None:
        self.first, self.most = first, most
        self._began = time.monotonic()
        self._next = self._began + first

    def due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + min(max(self.first, self.share * (now - self._began)), self.most)
        return True


@contextmanager
def progress_bars(*, shown: bool = True) -> Iterator[tuple[Bars, Progress]]:
    """Bars, and a function that long work calls to show how far it is.

    Args:
        shown: whether anything is; of several processes, one shows it.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    console = err()
    console.quiet = not shown

    wide = console.width >= _WIDE

    def whole() -> Column:
        return Column(no_wrap=True)

    # What is told gives way, and nothing else does.
    taken = 80 if wide else 37
    rest = Column(no_wrap=True, overflow="ellipsis", max_width=max(console.width - taken, 1))

    columns = [
        TextColumn("{task.description}", table_column=whole()),
        BarColumn(bar_width=40 if wide else 8),
        MofNCompleteColumn(table_column=whole()),
        *([TimeElapsedColumn(table_column=whole())] if wide else []),
        TextColumn("{task.fields[told]}", table_column=rest),
    ]
    tasks: dict[tuple[str, int], Any] = {}
    paces: dict[tuple[str, int], Pace] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:

        def progress(title: str, done: int, total: int) -> None:
            key = (title, total)
            if not console.is_terminal:
                if paces.setdefault(key, Pace()).due():
                    console.print(f"{title}  {done:,}/{total:,}")
                return
            if key not in tasks:
                tasks[key] = bars.add_task(title, total=total, told="")
            bars.update(tasks[key], completed=done)

        yield bars, progress
