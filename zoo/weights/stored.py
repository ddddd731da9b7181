"""What lies on this machine: weights in the caches of the hub and of torch hub, and zoo's own."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zoo.cache import cache_folder, features_folder
from zoo.weights.address import downloads_folder
from zoo.weights.download import PARTIAL, discard, is_running
from zoo.weights.read import sha256_of
from zoo.weights.record import Record, pin_of, records
from zoo.weights.torch_hub import checkpoints_folder

__all__ = ["Kept", "kept", "prunable", "remove", "verdicts"]

_DAY = 86_400.0
Cache = Literal["hub", "torch hub", "downloads", "computed", "features"]
Check = Literal["pinned", "recorded", ""]
_SHARED = ("hub", "torch hub")
"""Caches that other programs use too: zoo takes nothing whole out of them."""


@dataclass(frozen=True)
class Kept:
    """Something in a cache: a repository at a commit, a file, or a folder of computed files.

    Args:
        used: when it was last read or written, in seconds since 1970.
        check: how its content is known: `pinned`, `recorded`, or nothing.
    """

    cache: Cache
    name: str
    path: Path
    size: int
    used: float
    check: Check


def kept() -> list[Kept]:
    """Everything in the caches, by cache and name; but features, which `zoo.training.room` lists."""
    return [*_of_the_hub(), *_of_torch_hub(), *_downloads(), *_computed()]


def verdicts() -> Iterator[tuple[Record, Literal["same", "changed", "gone"]]]:
    """Read every recorded file anew, whole, and compare it with its pin or record."""
    for record in records():
        path = Path(record.path)
        if not path.is_file():
            yield record, "gone"
            continue
        expected = pin_of(record.source, record.file)[0] or record.sha256
        yield record, "same" if sha256_of(path) == expected else "changed"


def prunable(days: float) -> list[Kept]:
    """What of zoo's own caches was not used for so long, and downloads that broke off."""
    limit = time.time() - days * _DAY
    return [
        each
        for each in kept()
        if (not is_running(each.path) if _is_broken_off(each) else _is_old(each, limit))
    ]


def remove(each: Kept) -> bool:
    """Take something out; False for a download that a process has gone on with meanwhile."""
    if each.path.is_dir():
        shutil.rmtree(each.path)
    elif _is_broken_off(each):
        return discard(each.path)
    else:
        each.path.unlink()
        each.path.with_name(f"{each.path.name}.lock").unlink(missing_ok=True)
    return True


def _is_old(each: Kept, limit: float) -> bool:
    return each.cache not in _SHARED and each.used < limit


def _is_broken_off(each: Kept) -> bool:
    """zoo's own downloads, wherever they go: torch hub gives its own another name."""
    return each.cache in ("downloads", "torch hub") and each.name.endswith(PARTIAL)


def _of_the_hub() -> Iterator[Kept]:
    from huggingface_hub import CacheNotFound, scan_cache_dir

    try:
        found = scan_cache_dir()
    except CacheNotFound:
        return
    checks = _checks()
    for repository in sorted(found.repos, key=lambda each: str(each.repo_id)):
        if repository.repo_type != "model":
            continue
        for revision in sorted(repository.revisions, key=lambda each: str(each.commit_hash)):
            name = f"{repository.repo_id}@{revision.commit_hash}"
            yield Kept(
                "hub",
                name,
                Path(revision.snapshot_path),
                revision.size_on_disk,
                repository.last_accessed,
                checks.get(f"hf://{name}", ""),
            )


def _of_torch_hub() -> Iterator[Kept]:
    yield from _files("torch hub", checkpoints_folder(), _checks())


def _downloads() -> Iterator[Kept]:
    yield from _files("downloads", downloads_folder(), _checks())


def _computed() -> Iterator[Kept]:
    for folder in sorted(path for path in cache_folder().iterdir() if path.is_dir()):
        inside = [path.stat() for path in folder.rglob("*") if path.is_file()]
        if folder in (downloads_folder(), features_folder()) or not inside:
            continue
        used = max(max(each.st_atime, each.st_mtime) for each in inside)
        yield Kept("computed", folder.name, folder, sum(each.st_size for each in inside), used, "")


def _files(cache: Cache, folder: Path, checks: dict[str, Check]) -> Iterator[Kept]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file() and path.suffix != ".lock":
            found = path.stat()
            used = max(found.st_atime, found.st_mtime)
            check = checks.get(str(path.absolute()), "")
            yield Kept(cache, path.name, path, found.st_size, used, check)


def _checks() -> dict[str, Check]:
    """How sources and paths are known."""
    found: dict[str, Check] = {}
    for record in records():
        pinned = pin_of(record.source, record.file)[0] is not None
        found[record.source] = found[record.path] = "pinned" if pinned else "recorded"
    return found
