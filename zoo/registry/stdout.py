"""Stdout held back while a hook module is imported: what it prints is no part of a listing."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from typing import IO, Any, cast

__all__ = ["Held", "held_stdout"]

_KEPT = 10_000


class Held:
    """What was written meanwhile; whole once `held_stdout` is left."""

    text = ""


@contextlib.contextmanager
def held_stdout() -> Iterator[Held]:
    """Hold back what this thread writes to stdout; what other threads write passes.

    In a process of one thread, the file descriptor is held too, and with it what C code and
    subprocesses write.
    """
    held, former = Held(), sys.stdout
    stream = None if former is None else _Stream(former)
    try:
        with _held_descriptor(former) as descriptor:
            if stream is not None:
                sys.stdout = cast(Any, stream)
            try:
                yield held
            finally:
                sys.stdout = former
    finally:
        held.text = (stream.taken() if stream is not None else "") + descriptor.text


class _Stream:
    """A text stream that keeps what one thread writes, until that is taken, and passes the rest.

    It goes on passing, because a module may have kept it, as a `logging.StreamHandler` does.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._thread: int | None = threading.get_ident()
        self._written: list[str] = []
        self._bytes = _Bytes()

    def write(self, text: str) -> int:
        if threading.get_ident() != self._thread:
            return self._stream.write(text)
        self._written.append(str(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def close(self) -> None:
        """Nothing: the stream is the process's."""

    @property
    def buffer(self) -> Any:
        mine = threading.get_ident() == self._thread
        return self._bytes if mine else cast(Any, self._stream).buffer

    def taken(self) -> str:
        """What was kept. From now on all passes."""
        self._thread = None
        written = "".join(self._written) + self._bytes.getvalue().decode(errors="replace")
        self._written.clear()
        return written[:_KEPT]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Bytes(io.BytesIO):
    def close(self) -> None:
        """Nothing: whoever wraps it anew closes it without being asked to."""


@contextlib.contextmanager
def _held_descriptor(stdout: IO[str] | None) -> Iterator[Held]:
    held = Held()
    with contextlib.ExitStack() as stack:
        file = saved = None
        with contextlib.suppress(OSError):
            if threading.active_count() == 1:
                file = stack.enter_context(tempfile.TemporaryFile())
                saved = os.dup(1)
        if file is None or saved is None:
            yield held
            return
        _flush(stdout)
        os.dup2(file.fileno(), 1)
        try:
            yield held
        finally:
            _flush(stdout)
            os.dup2(saved, 1)
            os.close(saved)
            file.seek(0)
            held.text = file.read(_KEPT).decode(errors="replace")


def _flush(stdout: IO[str] | None) -> None:
    for stream in (stdout, sys.__stdout__):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
