"""A time limit for code that only listing runs: stopped in the main thread, measured elsewhere."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

from zoo.errors import RegistryError

__all__ = ["seconds_allowed", "within"]

_SECONDS = 0.5
_CAN_STOP = hasattr(signal, "setitimer")

T = TypeVar("T")


class _TimeUp(BaseException):
    """Not an `Exception`, so that code which catches those does not carry on."""


def seconds_allowed() -> float:
    """How long a hook module may take: `$ZOO_PLUGIN_SECONDS`, or half a second.

    Raises:
        RegistryError: the variable is not a number of seconds.
    """
    said = os.environ.get("ZOO_PLUGIN_SECONDS", "").strip()
    try:
        seconds = float(said) if said else _SECONDS
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 3600:
        raise RegistryError(
            f"ZOO_PLUGIN_SECONDS is {said!r}; it is the seconds that a plugin's hook module may take, "
            f"a number above 0 and up to 3600, such as 2 (without it: {_SECONDS:g})"
        )
    return seconds


def within(seconds: float, call: Callable[[], T]) -> T:
    """What `call()` returns, if it does so in time.

    The main thread is interrupted by the alarm clock, whose former handler and time come back;
    in other threads, and where there is no alarm clock (Windows), the time is seen afterwards.

    Raises:
        RegistryError: it took longer, or raised what would end the process.
        KeyboardInterrupt: the user pressed Ctrl-C; one that the code itself raises is a fault of it.
    """
    running = interrupted = False

    def stop(number: int, frame: FrameType | None) -> None:
        if running:
            raise _TimeUp

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        former[signal.SIGINT](number, frame)

    depth, start = sys.getrecursionlimit(), time.perf_counter()
    main = threading.current_thread() is threading.main_thread()
    former = _install(stop, interrupt) if main else {}
    stops = _CAN_STOP and signal.SIGALRM in former
    timer = signal.setitimer(signal.ITIMER_REAL, seconds, seconds) if stops else (0.0, 0.0)
    try:
        running = True
        answer = call()
    except _TimeUp:
        raise RegistryError(_too_slow("was stopped after", start, seconds)) from None
    except KeyboardInterrupt as error:
        if interrupted or (main and signal.SIGINT not in former):
            raise
        raise RegistryError("KeyboardInterrupt: raised by the module itself") from error
    except Exception:
        raise
    except BaseException as error:  # SystemExit, and whatever else is meant to end the process
        raise RegistryError(f"{type(error).__name__}: {error}") from error
    finally:
        running = False  # from here on an alarm that is late does nothing
        sys.setrecursionlimit(depth)
        if stops:
            left = timer[0] and max(timer[0] - (time.perf_counter() - start), 0.001)
            signal.setitimer(signal.ITIMER_REAL, left, timer[1])
        for number, handler in former.items():
            signal.signal(number, handler)
    if time.perf_counter() - start > seconds:
        raise RegistryError(_too_slow("took", start, seconds))
    return answer


def _install(stop: Callable[..., None], interrupt: Callable[..., None]) -> dict[int, Any]:
    """Put our handlers in place of those that Python knows; the former ones, by signal."""
    wanted = {signal.SIGINT: interrupt}
    if _CAN_STOP:
        wanted[signal.SIGALRM] = stop
    former: dict[int, Any] = {}
    for number, handler in wanted.items():
        known = signal.getsignal(number)
        if known is not None and (callable(known) or number != signal.SIGINT):
            former[number] = signal.signal(number, handler)
    return former


def _too_slow(what: str, start: float, seconds: float) -> str:
    return (
        f"its import {what} {time.perf_counter() - start:.2f} s, and {seconds:g} s is the limit for a "
        "hook module, because every listing waits for it; move slow work to the modules that targets "
        f"name, or allow more with ZOO_PLUGIN_SECONDS={seconds * 4:g}"
    )
