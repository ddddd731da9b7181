"""A watch on what reading a thing from elsewhere sets off."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["SECONDS", "Foreign", "in_time", "watched"]

SECONDS = 20

_FORBIDDEN = (
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.spawn",
    "pty.",
    "socket.",
    "urllib.",
    "ctypes.dlopen",
    "pickle.find_class",
    "exec",
    "compile",
)
_PACKAGES = {
    "PIL",
    "encodings",
    "google",
    "huggingface_hub",
    "numpy",
    "peft",
    "platformdirs",
    "pydantic",
    "pydantic_core",
    "safetensors",
    "timm",
    "sentencepiece",
    "tiktoken",
    "tokenizers",
    "torch",
    "torchvision",
    "transformers",
    "zoo",
}
"""Of these, modules that were not needed before may be imported on the way."""


class Foreign(BaseException):
    """Something happened that a name or a file from elsewhere must never set off."""


class _Watch:
    def __init__(self) -> None:
        self.on = False
        self.seen: list[str] = []
        sys.addaudithook(self._heard)

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        if self.on and self._is_foreign(event, args):
            self.seen.append(f"{event} {args!r:.300}")
            raise Foreign(self.seen[-1])

    def _is_foreign(self, event: str, args: tuple[Any, ...]) -> bool:
        if event == "import":
            return str(args[0]).partition(".")[0] not in _PACKAGES and not _imported()
        if event == "open":
            path, _, flags = args
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            here = str(path).startswith((tempfile.gettempdir(), os.devnull))
            return bool(writes) and not isinstance(path, int) and not here
        if event in ("exec", "compile"):
            module = _imported()
            return module.partition(".")[0] not in _PACKAGES
        return event.startswith(_FORBIDDEN)


def _imported() -> str:
    """The module whose import all this belongs to; empty when nothing is being imported.

    `importlib.import_module` has no event of its own, but a module's code runs with one.
    """
    frame, found = sys._getframe(2), ""
    while frame is not None:
        code = frame.f_code
        loads = code.co_filename.startswith("<frozen importlib") or code.co_filename.endswith(
            "_pytest/assertion/rewrite.py"
        )
        if code.co_name == "exec_module" and loads:
            found = str(frame.f_locals["module"].__name__)
        elif code.co_name == "get_code" and code.co_filename.startswith("<frozen importlib"):
            found = str(frame.f_locals["fullname"])
        frame = frame.f_back
    return found


_watch: list[_Watch] = []


@contextmanager
def watched() -> Iterator[None]:
    """Raise `Foreign` for what must not happen inside, even where the error itself is swallowed."""
    if not _watch:
        _watch.append(_Watch())  # a hook stays for the life of the process
    watch = _watch[0]
    watch.seen.clear()
    watch.on = True
    try:
        yield
    finally:
        watch.on = False
    if watch.seen:
        raise Foreign(watch.seen[0])


@contextmanager
def in_time() -> Iterator[None]:
    def late(*_: object) -> None:
        raise Foreign(f"took more than {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
