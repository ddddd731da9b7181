"""Which running processes use a folder of features, and since when; what dead ones left goes."""

from __future__ import annotations

import os
import time
import uuid
import weakref
from pathlib import Path

from filelock import FileLock, Timeout

from zoo.cache import features_folder

__all__ = ["Presence", "housekeeping", "in_use_since"]

_USE, _DRAFT = ".use", ".draft"


class Presence:
    """A process at work in a folder: a locked file there, named by when it began.

    The system takes the lock away when the process ends, however it ends. It holds as long as this
    object lives.

    Attributes:
        draft: where this process, and no other, may write a file before it has its name.
    """

    def __init__(self, folder: Path) -> None:
        with housekeeping():
            folder.mkdir(parents=True, exist_ok=True)
            stem = f"{time.time_ns()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
            path = folder / f"{stem}{_USE}"
            lock = FileLock(path)
            lock.acquire()
        self.draft = folder / f"{stem}{_DRAFT}"
        weakref.finalize(self, _leave, lock, path, os.getpid())


def housekeeping() -> FileLock:
    """Held while files are counted and removed, so that two processes do not do it at once."""
    return FileLock(features_folder() / "housekeeping.lock")


def in_use_since(folder: Path) -> int | None:
    """When the first of the running processes that use a folder began, in ns since 1970.

    Removes what dead processes left: their marks, and files they had begun. Call it under
    `housekeeping()`.
    """
    alive = set()
    for path in folder.glob(f"*{_USE}"):
        try:
            with FileLock(path, timeout=0):
                pass
        except Timeout:
            alive.add(path.stem)
        else:
            path.unlink(missing_ok=True)
    for path in folder.glob(f"*{_DRAFT}"):
        if path.stem not in alive:
            path.unlink(missing_ok=True)
    return min((int(stem.partition("-")[0]) for stem in alive), default=None)


def _leave(lock: FileLock, path: Path, process: int) -> None:
    if os.getpid() != process:  # a forked worker has a copy of the object, not of the task
        return
    lock.release()
    path.unlink(missing_ok=True)
