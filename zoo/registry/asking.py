"""Hook modules asked what they offer, in a process of their own: nothing of a plugin runs in this one."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from zoo.errors import RegistryError
from zoo.registry.component import Component, Origin, check_name, one_line
from zoo.registry.hooks import HOOKS, LONGEST, MOST

if TYPE_CHECKING:
    import subprocess

__all__ = ["LISTING_SECONDS", "SECONDS", "ask", "components_of_answer", "seconds_allowed"]

SECONDS = 30.0
"""For all hook modules together, wherever a name that is missing would be an error."""
LISTING_SECONDS = 0.5
"""For all hook modules together, where somebody waits to read the names."""
_START = 60.0
"""Seconds for Python to start, on the slowest disk."""
_SPARE = 5.0
_UNREADABLE = "the answer of the hook module cannot be read"

# Run with -P, so that until it has the path of this process it imports nothing from the working folder.
_PROGRAM = (
    "import json, sys; asked = json.loads(sys.stdin.readline()); sys.path[:] = asked.pop('path'); "
    "from zoo.registry.hook_process import answer; answer(**asked)"
)


def seconds_allowed(least: float) -> float:
    """How long hook modules may take: so long, or longer if `$ZOO_PLUGIN_SECONDS` says so.

    Raises:
        RegistryError: the variable is not a number of seconds.
    """
    said = os.environ.get("ZOO_PLUGIN_SECONDS", "").strip()
    try:
        seconds = float(said) if said else least
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 3600:
        raise RegistryError(
            f"ZOO_PLUGIN_SECONDS is {said!r}; it is the seconds that the hook modules of plugins may "
            f"take, a number above 0 and up to 3600, such as 2 (without it: {LISTING_SECONDS:g} for "
            f"a listing, {SECONDS:g} for all else)"
        )
    return max(seconds, least)


def ask(modules: Iterable[str], seconds: float) -> dict[str, Any]:
    """What each hook module answers, for `components_of_answer`. They are asked at once.

    Where processes cannot fork (Windows), they are asked one after another, with the time for each.

    Args:
        modules: what entry points name, `"module"` or `"module:object"`.
    """
    named = list(dict.fromkeys(modules))
    forks = hasattr(os, "fork")
    answers: list[Any] = []
    for batch in [named] if named and forks else [[each] for each in named]:
        answers += _answers(batch, seconds, forks)
    return {
        module: _no_answer(each, seconds) if each is None or isinstance(each, int) else each
        for module, each in zip(named, answers, strict=True)
    }


def _no_answer(status: int | None, seconds: float) -> str:
    if status is not None:
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return f"the hook module ends its process, with {how}"
    return (
        f"the hook module was stopped after {seconds:g} s without an answer; move slow work to the "
        "modules that targets name, or allow more with "
        f"ZOO_PLUGIN_SECONDS={max(4 * seconds, 2):g}"
    )


def components_of_answer(answer: Any, origin: Origin) -> list[Component]:
    """The heads and losses in an answer, which is checked like anything from outside.

    Raises:
        RegistryError: the reason why there are none, or it is no answer at all.
    """
    if isinstance(answer, str):
        raise RegistryError(answer)
    if not isinstance(answer, list) or len(answer) > MOST * len(HOOKS):
        raise RegistryError(_UNREADABLE)
    return [_component(each, origin) for each in answer]


def _component(row: Any, origin: Origin) -> Component:
    match row:
        case [str(section), str(name), str(target), str(summary), str(deprecated)]:
            kind = next((each for each in HOOKS.values() if each == section), None)
            if kind and max(map(len, row)) <= LONGEST:
                check_name(kind, name, "the hook module's answer")
                return Component(
                    kind,
                    name,
                    origin,
                    summary=one_line(summary),
                    target=target,
                    deprecated=one_line(deprecated),
                )
    raise RegistryError(_UNREADABLE)


def _answers(modules: Sequence[str], seconds: float, forks: bool) -> list[Any]:
    """What one process, started for it, finds out about these modules."""
    import subprocess  # here, because a listing without hook modules does not wait for it

    path = [each for each in sys.path if isinstance(each, str)]
    asked = {"path": path, "modules": modules, "seconds": seconds, "forks": forks}
    environment = {**os.environ, "ZOO_PLUGINS": ""}  # for a hook module that asks for names
    python = "" if getattr(sys, "frozen", False) else sys.executable or ""
    try:
        with subprocess.Popen(
            [python, "-P", "-c", _PROGRAM],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdin is not None
            process.stdin.write(json.dumps(asked).encode() + b"\n")
            process.stdin.flush()
            line = _line(process, _START)
            if line:
                line = _line(process, seconds + (_SPARE if forks else 0))
                if not line and not forks:
                    return [process.wait() if line is not None else None]
    except OSError as error:
        why = str(error)
    else:
        answers = _parsed(line or b"")
        if isinstance(answers, list) and len(answers) == len(modules):
            return answers
        why = f"it ended with status {process.returncode}"
    reason = f"Python ({python!r}), run to ask the hook module, gave no answer: {why}"
    return [reason] * len(modules)


def _line(process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """The next line that a process writes, or None if it takes longer; then it is killed."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, stop)
    timer.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
    finally:
        timer.cancel()
        timer.join()
    return None if late.is_set() else line


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
