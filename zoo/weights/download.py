"""Files by URL: resumed where they broke off, verified, and there whole or not at all.

The hub's own client brings what the hub serves; everything else comes this way.
"""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from zoo.errors import WeightsError
from zoo.weights.read import sha256_of

__all__ = ["PARTIAL", "discard", "download", "is_offline", "is_running"]

PARTIAL = ".part"
"""What the name of a download ends with until all of it is there."""

_ATTEMPTS = 4
_BLOCK = 1 << 20
_TIMEOUT = 30.0


def download(url: str, target: Path, sha256: str | None) -> Path:
    """The file at `url` as `target`; what an earlier attempt brought is not fetched again.

    Args:
        sha256: of the whole file, or its first digits. None takes what is served.

    Raises:
        WeightsError: offline, unreachable, or the file is not the one meant.
    """
    from filelock import FileLock

    if target.is_file():
        return target
    if is_offline():
        raise WeightsError(f"{url} cannot be fetched: HF_HUB_OFFLINE is set")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + PARTIAL)
    with FileLock(_lock_of(part)):
        if target.is_file():  # another process brought it
            return target
        if sha256 is None:  # nothing would tell that two attempts were at two files
            part.unlink(missing_ok=True)
        with _progress(target.name) as tell:
            _fetch(url, part, tell)
        found = sha256_of(part)
        if sha256 is not None and not found.startswith(sha256.lower()):
            part.unlink()
            raise WeightsError(
                f"{url}: what it serves is not the file meant: sha256 is {found}, and should be "
                f"{sha256}"
            )
        part.replace(target)
    return target


def is_running(part: Path) -> bool:
    """Whether a process is at this download now."""
    from filelock import FileLock, Timeout

    if not _lock_of(part).is_file():
        return False
    try:
        with FileLock(_lock_of(part), timeout=0):
            return False
    except Timeout:
        return True


def discard(part: Path) -> bool:
    """Delete what a download that broke off has left; False where it goes on just now."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(_lock_of(part), timeout=0):
            part.unlink(missing_ok=True)
            _lock_of(part).unlink(missing_ok=True)
    except Timeout:
        return False
    return True


def is_offline() -> bool:
    """Whether the hub's client is told to stay offline, which holds for every download."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _lock_of(part: Path) -> Path:
    return part.with_name(f"{part.name.removesuffix(PARTIAL)}.lock")


def _fetch(url: str, part: Path, tell: Callable[[int, int | None], None]) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _once(url, part, tell)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # a range that is not there: what is here is of another file
                part.unlink(missing_ok=True)
            elif error.code < 500 or attempt == _ATTEMPTS:
                raise WeightsError(f"{url} cannot be fetched: {error}") from error
        except (OSError, HTTPException) as error:
            if attempt == _ATTEMPTS:
                raise WeightsError(f"{url} cannot be fetched: {error}") from error
        else:
            return
        time.sleep(0.2 * (attempt - 1))
    raise WeightsError(f"{url} cannot be fetched: it serves no whole file")


def _once(url: str, part: Path, tell: Callable[[int, int | None], None]) -> None:
    have = part.stat().st_size if part.is_file() else 0
    asked = {"Range": f"bytes={have}-"} if have else {}
    # Compressed on the way, bytes could not be counted.
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity", **asked})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as reply:
        if have and reply.status != 206:  # it serves no ranges: from the start
            have = 0
        length = reply.headers.get("Content-Length")
        total = have + int(length) if length else None
        with part.open("ab" if have else "wb") as file:
            while block := reply.read(_BLOCK):
                file.write(block)
                tell(file.tell(), total)
    if total is not None and part.stat().st_size < total:
        raise ConnectionError(f"broke off after {part.stat().st_size:,} of {total:,} bytes")


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on stderr, where somebody watches."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
