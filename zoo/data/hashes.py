"""What picture files hold, as hashes; a file that has stayed as it was is not read again."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from zoo.cache import cache_folder
from zoo.data.held import Held
from zoo.data.unreadable import Unread, noted
from zoo.errors import CacheError, DataError

__all__ = ["PictureHash", "check_unchanged", "picture_hashes"]

_log = logging.getLogger(__name__)

_MOST = 5_000_000
"""Files remembered, some hundred bytes each; the first ones go first."""
_SETTLED = 2_000_000_000
"""Nanoseconds. A younger file could change again and bear the same time, on a coarse clock."""
_AT_ONCE = 256
_PATIENCE = 60
"""Seconds to wait for a process that writes."""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

State = tuple[int, int, int, int, int]
"""Size, times of change of content and of inode, device, inode."""


@dataclass(frozen=True)
class PictureHash:
    """The sha256 of a picture's file, and the state in which the file had it; None if it has no own."""

    sha256: bytes
    state: State | None


def picture_hashes(
    pictures: Sequence[Path | Held],
    progress: Callable[[str, int, int], None] | None = None,
    *,
    workers: int = 2,
    unread: dict[int, Unread] | None = None,
) -> list[PictureHash]:
    """The hash of each file, from memory where size, inode and both times of change are the same.

    The time of the inode's change, which no program can set, gives away a change that keeps the other
    times. Windows has none: there a file that was changed and given its former time passes for the
    former one.

    Args:
        unread: where files that cannot be read are noted, by index; there are hashes of the others.

    Raises:
        DataError: a file cannot be read, and nowhere to note it is given; the message names it.
    """
    found: list[PictureHash | None] = [None] * len(pictures)
    states = [noted(partial(_state, each), index, unread) for index, each in enumerate(pictures)]
    unread_at_once = set(unread or ())
    with contextlib.closing(_Memory()) as memory:
        for index, (picture, state) in enumerate(zip(pictures, states, strict=True)):
            if index in unread_at_once:
                continue
            sha256 = memory.get(picture, state)
            if sha256 is not None:
                found[index] = PictureHash(sha256, state)
        missing = [
            index
            for index, each in enumerate(found)
            if each is None and index not in unread_at_once
        ]
        with ThreadPoolExecutor(max(workers, 1)) as pool:
            for start in range(0, len(missing), _AT_ONCE):
                batch = missing[start : start + _AT_ONCE]
                began = time.time_ns()
                hashes = pool.map(
                    lambda index: noted(partial(_hash, pictures[index]), index, unread), batch
                )
                for index, sha256 in zip(batch, hashes, strict=True):
                    if sha256 is None:
                        continue
                    picture, state = pictures[index], states[index]
                    check_unchanged(picture, state)
                    found[index] = PictureHash(sha256, state)
                    if state is not None and max(state[1:3]) < began - _SETTLED:
                        memory.put(picture, state, sha256)
                if progress is not None:
                    progress("hashing pictures", start + len(batch), len(missing))
    return [each for each in found if each is not None]


def check_unchanged(picture: Path | Held, state: State | None) -> None:
    """Raise `DataError` if a file is not any more what it was when it was hashed."""
    if _state(picture) != state:
        raise DataError(f"{picture}: the picture changed while it was in use; run again")


class _Memory:
    """Hashes by path and state, in SQLite; several processes may use it at once.

    Where the file cannot be used, nothing is remembered, and the work goes on. A damaged one is discarded.
    """

    def __init__(self) -> None:
        self._database: sqlite3.Connection | None = None
        self._new: list[tuple[bytes, str, bytes]] = []
        self._open()

    def get(self, picture: Path | Held, state: State | None) -> bytes | None:
        if state is None or isinstance(picture, Held):
            return None
        row = None
        with self._bearing_faults():
            if self._database is not None:
                row = self._database.execute(
                    "SELECT sha256 FROM files WHERE path = ? AND state = ?",
                    (_name(picture), _text(state)),
                ).fetchone()
        return bytes(row[0]) if row else None

    def put(self, picture: Path | Held, state: State, sha256: bytes) -> None:
        if not isinstance(picture, Held):
            self._new.append((_name(picture), _text(state), sha256))

    def close(self) -> None:
        """Keep what was put in."""
        with self._bearing_faults():
            if self._database is not None and self._new:
                with self._database:
                    self._database.executemany(
                        "INSERT OR REPLACE INTO files VALUES (?, ?, ?)", self._new
                    )
                    self._database.execute(
                        "DELETE FROM files WHERE rowid <= (SELECT max(rowid) FROM files) - ?",
                        (_MOST,),
                    )
        if self._database is not None:
            self._database.close()

    def _open(self) -> None:
        with self._bearing_faults():
            self._database = sqlite3.connect(_database(), timeout=_PATIENCE)
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, state TEXT, sha256 BLOB)"
            )

    @contextlib.contextmanager
    def _bearing_faults(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, CacheError) as error:
            _log.warning("hashes.sqlite: %s; pictures are hashed anew", error)
            if self._database is not None:
                self._database.close()
                self._database = None
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED and _discarded():
                self._open()


def _discarded() -> bool:
    """Remove the memory, and the journal that would be played into the next one."""
    try:
        for ending in ("", "-journal", "-wal", "-shm"):
            _database().with_name(f"{_database().name}{ending}").unlink(missing_ok=True)
    except (OSError, CacheError):
        return False
    return True


def _database() -> Path:
    return cache_folder("picture-hashes") / "hashes.sqlite"


def _name(picture: Path) -> bytes:
    return os.fsencode(os.path.abspath(picture))


def _text(state: State) -> str:
    return " ".join(map(str, state))


def _state(picture: Path | Held) -> State | None:
    if isinstance(picture, Held):
        return None
    try:
        found = os.stat(picture)
    except OSError as error:
        raise DataError(f"{picture}: the picture cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):  # one would wait for a pipe
        raise DataError(f"{picture}: not a file, and a picture is one")
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_dev, found.st_ino


def _hash(picture: Path | Held) -> bytes:
    if isinstance(picture, Held):
        return hashlib.sha256(picture.read()).digest()
    try:
        with open(picture, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DataError(f"{picture}: the picture cannot be read: {error.strerror}") from error
