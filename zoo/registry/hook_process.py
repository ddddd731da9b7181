"""The process in which hook modules are imported and asked, each in a fork of its own."""

from __future__ import annotations

import builtins
import contextlib
import functools
import importlib
import json
import os
import re
import selectors
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from zoo.errors import RegistryError
from zoo.registry.component import Origin, one_line
from zoo.registry.hooks import HEAVY, components_of_hooks

__all__ = ["answer"]

_FORM = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*)(?::([^\W\d]\w*(?:\.[^\W\d]\w*)*))?")
_LARGEST_ANSWER = 10_000_000
_NOBODY = Origin("plugin", "")


def answer(modules: Sequence[str], seconds: float, forks: bool) -> None:
    """Write an empty line to stdout when all is ready, and then the answers as a line of JSON.

    They come in the order of the modules. Each is a list of `[kind, name, target, summary,
    deprecated]`, the reason why there is none, the exit status of a module that left without an
    answer, or null for one that was stopped after so many seconds, which run for all at once.

    Args:
        modules: what entry points name, `"module"` or `"module:object"`.
        forks: whether each gets a fork; without, there is one module, and the caller stops it.
    """
    with os.fdopen(os.dup(1), "w") as caller, open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        print(file=caller, flush=True)
        answers = _forked(modules, seconds) if forks else [_ask(each) for each in modules]
        print(json.dumps(answers), file=caller, flush=True)
    os._exit(0)


def _forked(modules: Sequence[str], seconds: float) -> list[Any]:
    """What each module answers in its fork, in time. Afterwards no fork is left."""
    said: dict[int, bytes] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        try:
            for module in modules:
                pid, pipe = _fork(module, seconds)
                said[pid] = b""
                selector.register(pipe, selectors.EVENT_READ, pid)
            _listen(selector, said, time.monotonic() + seconds)
        finally:
            for pid in said:
                for kill in (os.kill, os.killpg):  # what it started is of its group
                    with contextlib.suppress(OSError):
                        kill(pid, signal.SIGKILL)
    return [_read(line, pid) for pid, line in said.items()]


def _fork(module: str, seconds: float) -> tuple[int, int]:
    """Ask a module in a fork; its process id, and the pipe that its answer comes through."""
    out, into = os.pipe()
    pid = os.fork()
    if pid:
        os.close(into)
        return pid, out
    try:
        os.setsid()
        signal.setitimer(signal.ITIMER_REAL, seconds + 1)  # should nobody be left to stop it
        os.closerange(3, into)
        os.closerange(into + 1, 65536)
        line = json.dumps(_ask(module)).encode() + b"\n"
        while line:
            line = line[os.write(into, line) :]
    finally:
        os._exit(0)  # threads of the module do not hold it


def _listen(selector: selectors.BaseSelector, said: dict[int, bytes], end: float) -> None:
    """Take down what the forks say, a line each, until all have, or the caller goes, or time is up."""
    while len(selector.get_map()) > 1 and (left := end - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            if key.data is None:  # stdin has come to its end
                return
            piece = os.read(key.fd, 65536)
            said[key.data] += piece or b"\n"
            if len(said[key.data]) > _LARGEST_ANSWER:
                said[key.data] = b'"the answer of the hook module is too large"\n'
            if b"\n" in said[key.data]:
                selector.unregister(key.fd)


def _read(said: bytes, pid: int) -> Any:
    line, whole, _ = said.partition(b"\n")
    if not whole:
        return None
    if not line:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return None if status == -signal.SIGKILL else status
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return "the answer of the hook module cannot be read"


def _ask(module: str) -> list[list[str]] | str:
    """What a hook module offers, or why not. The process is the module's from here on."""
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    offers, reason = list[list[str]](), ""
    before, refused, written = HEAVY.intersection(sys.modules), _fence(), _stdout()
    try:
        for each in components_of_hooks(_load(module), _NOBODY):
            row = [each.kind, each.name, each.target or "", each.summary, each.deprecated]
            offers.append(row)
    except BaseException as error:  # SystemExit and its like too: this is where they end
        reason = _told(error)
    text = written()
    refused += sorted(HEAVY.intersection(sys.modules) - before)
    if refused:
        return (
            f"the hook module imports {refused[0]!r}, which makes every listing slow; move what "
            "needs it to a module that only a component's target names"
        )
    if text and not reason:
        return (
            f"the hook module writes to stdout, where listings go: {one_line(text, 80)!r}; "
            "let it log, or write to stderr"
        )
    return reason or offers


def _load(value: str) -> object:
    match = _FORM.fullmatch(value)
    if not match:
        raise RegistryError(f"the entry point names {value!r}; write the hook module's name")
    parts = filter(None, (match[2] or "").split("."))
    return functools.reduce(getattr, parts, importlib.import_module(match[1]))


def _told(error: BaseException) -> str:
    name = type(error).__name__
    try:
        said = str(error)
    except Exception:  # even its message fails
        said = ""
    if isinstance(error, RegistryError):
        return said
    return f"{name}: {said}" if said else name


def _fence() -> list[str]:
    """Refuse the import of heavy libraries from now on; the names that were refused."""
    former, refused = builtins.__import__, list[str]()

    def guarded(name: str, *rest: Any, **named: Any) -> Any:
        level = named.get("level", rest[3] if len(rest) > 3 else 0)
        top = name.partition(".")[0]
        if top in HEAVY and not level:
            refused.append(top)
            raise ImportError(f"a hook module may not import {top!r}")
        return former(name, *rest, **named)

    builtins.__import__ = guarded
    return refused


def _stdout() -> Callable[[], str]:
    """Put a pipe in the place of stdout; what this gives puts an end to it, and reads its beginning."""
    out, into = os.pipe()
    with contextlib.suppress(AttributeError):  # Windows, before Python 3.12
        os.set_blocking(out, False)
        os.set_blocking(into, False)  # what does not fit is lost, and nobody waits
    os.dup2(into, 1)
    os.close(into)

    def written() -> str:
        for stream in filter(None, (sys.stdout, sys.__stdout__)):
            with contextlib.suppress(Exception):  # whatever the module put in its place
                stream.flush()
        with contextlib.suppress(OSError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            return os.read(out, 1000).decode(errors="replace")
        return ""

    return written
