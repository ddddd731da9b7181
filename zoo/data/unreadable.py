"""Pictures that could not be read: skipped, counted, named; and the end of the run when they are many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from zoo.errors import DataError, first_line

__all__ = ["Unread", "Unreadable", "attempted", "noted"]

_NAMED = 20
_ENOUGH = 100
_T = TypeVar("_T")


@dataclass(frozen=True)
class Unread:
    """What a worker gives in place of a picture that it could not read."""

    reason: str
    """Names the picture."""


def attempted(read: Callable[[], _T]) -> _T | Unread:
    """What `read` gives, or why it could not: only a picture's own faults are caught."""
    try:
        return read()
    except DataError as error:
        return Unread(first_line(error))


def noted(read: Callable[[], _T], index: int, unread: dict[int, Unread] | None) -> _T | None:
    """What `read` gives; or None, and why it could not is noted under the index.

    Args:
        unread: where; None lets the fault through.
    """
    if unread is None:
        return read()
    found = attempted(read)
    if not isinstance(found, Unread):
        return found
    unread[index] = found
    return None


class Unreadable:
    """Counts pictures seen and those that could not be read.

    Args:
        most: the share of unreadable ones that is borne.
        enough: pictures to see before a share is judged; fewer are judged by `finish`.
    """

    def __init__(self, most: float = 0.01, *, enough: int = _ENOUGH) -> None:
        if not 0 <= most <= 1:
            raise DataError(f"the share of unreadable pictures is 0 to 1, not {most}")
        self.most, self.enough = most, enough
        self.seen = 0
        self.reasons: dict[str, int] = {}

    @property
    def count(self) -> int:
        """How often a picture could not be read; the same one counts each time."""
        return sum(self.reasons.values())

    def add(self, seen: int, unread: list[Unread]) -> None:
        """Count a batch: how many pictures it was to have, and those that it lacks.

        Raises:
            DataError: more than the share that is borne cannot be read; with the report.
        """
        self.seen += seen
        for each in unread:
            self.reasons[each.reason] = self.reasons.get(each.reason, 0) + 1
        if self.seen >= self.enough or not self.most:
            self.finish()

    def finish(self) -> None:
        """Judge the share, however few were seen.

        Raises:
            DataError: it is more than is borne; with the report.
        """
        if self.count > self.most * self.seen:
            raise DataError(f"more than {self.most:.1%} of the pictures cannot be read.\n{self}")

    def __str__(self) -> str:
        """The report: how many, and which."""
        if not self.reasons:
            return f"{self.seen} pictures read, all of them readable"
        lines = [f"{self.count} of {self.seen} pictures could not be read:"]
        lines += [f"  {reason}" for reason in list(self.reasons)[:_NAMED]]
        if len(self.reasons) > _NAMED:
            lines.append(f"  and {len(self.reasons) - _NAMED} more")
        return "\n".join(lines)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"seen": self.seen, "reasons": dict(self.reasons)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Count on from a checkpoint."""
        self.seen, self.reasons = int(state["seen"]), dict(state["reasons"])
