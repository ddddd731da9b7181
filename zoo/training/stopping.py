"""SIGTERM and Ctrl-C end a run after the step that is under way, with a checkpoint of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Stop", "bear_signals", "stopping"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether the run was told to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None


@contextmanager
def stopping() -> Iterator[Stop]:
    """Notes the first of the signals; the next one acts as it does outside.

    Only the main thread of a process can do so; in another one, nothing is noted.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, frame: FrameType | None) -> None:
        stop.signal = signal.Signals(number)
        for each, handler in former.items():
            signal.signal(each, handler)

    former = {each: signal.signal(each, note) for each in _SIGNALS}
    try:
        yield stop
    finally:
        for each, handler in former.items():
            signal.signal(each, handler)


def bear_signals(worker: int) -> None:
    """Of a process that reads pictures: a signal to all processes of the run is the run's to answer.

    A second SIGTERM ends it.
    """

    def once(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, once)
