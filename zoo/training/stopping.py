"""SIGTERM and Ctrl-C end a run after the step that is under way, with a checkpoint of it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Stop", "bear_signals", "stopping"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ECHO = 5.0
"""Seconds in which a SIGTERM after the first signal is no second one."""


class Stop:
    """Whether the run was told to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None


@contextmanager
def stopping() -> Iterator[Stop]:
    """Notes the first of the signals; the next one acts as it does outside.

    SIGTERM within a few seconds is taken as the first one told again: a scheduler sends it to every
    process of a job, and a launcher among them sends its own to those that it started.

    Only the main thread of a process can do so; in another one, nothing is noted.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    first = 0.0

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if stop.signal is None:
            stop.signal, first = signal.Signals(number), time.monotonic()
            signal.signal(signal.SIGINT, former[signal.SIGINT])
        elif time.monotonic() - first >= _ECHO:
            signal.signal(number, former[signal.Signals(number)])
            signal.raise_signal(number)

    former = {each: signal.signal(each, note) for each in _SIGNALS}
    try:
        yield stop
    finally:
        for each, handler in former.items():
            signal.signal(each, handler)


def bear_signals(worker: int) -> None:
    """Of a process that reads pictures: a signal to all processes of the run is the run's to answer.

    A second SIGTERM ends it, if it is not the first one told again.
    """
    first: float | None = None

    def once(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if first is None:
            first = time.monotonic()
        elif time.monotonic() - first >= _ECHO:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, once)
