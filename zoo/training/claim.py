"""One process at a time writes in a run's folder: a lock that ends with the process that took it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.errors import CheckpointError

__all__ = ["claimed"]

_handles: set[int] = set()


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a folder, which is made if it is not there; nothing in it is touched.

    A file system without locks of folders, as most over a network, cannot say that another process
    holds it.

    Raises:
        CheckpointError: another run is under way there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if os.name == "nt":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    _handles.add(handle)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise CheckpointError(
                    f"{folder}: a run is under way here, in this process or another; wait for its "
                    "end, or stop it. Nothing was changed"
                ) from error
        yield
    finally:
        _handles.discard(handle)
        os.close(handle)


def _let_go() -> None:
    """A process that reads pictures may outlive the run for seconds, and is not to hold the folder."""
    while _handles:
        os.close(_handles.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
