"""What features take on disk, and their limit: the least recently used go first, none in use."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.cache import features_folder
from zoo.errors import CacheError
from zoo.training.presence import housekeeping, in_use_since

__all__ = ["FeatureFolder", "ShardFile", "folders", "limit", "make_room", "prune", "remove_old"]

ABOUT = "about.json"
"""What computed the rows of a folder, for people and for `zoo cache`."""

_LIMIT = "20 GB"
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_DAY_NS = 86_400 * 10**9


@dataclass(frozen=True)
class ShardFile:
    """A file of rows: its size in bytes, when it was last used, and whether a process uses it now."""

    path: Path
    size: int
    used_ns: int
    in_use: bool


@dataclass(frozen=True)
class FeatureFolder:
    """The features that one encoder computed in one way.

    Args:
        about: the ingredients of the key; empty where they are lost.
    """

    path: Path
    about: Mapping[str, Any]
    shards: Sequence[ShardFile]

    @property
    def key(self) -> str:
        return self.path.name

    @property
    def title(self) -> str:
        """`image efficientnet-lite0 0123abcd`."""
        component = self.about.get("component", {})
        name = component.get("name", "unknown") if isinstance(component, dict) else "unknown"
        return f"{self.about.get('side', '')} {name} {self.key[:8]}".strip()

    @property
    def size(self) -> int:
        return sum(each.size for each in self.shards)

    @property
    def used(self) -> float:
        """When it was last used, in seconds since 1970."""
        return max((each.used_ns for each in self.shards), default=0) / 1e9

    @property
    def in_use(self) -> bool:
        return any(each.in_use for each in self.shards)

    def rows(self) -> int:
        """How many rows its files say they hold."""
        return sum(_rows(each.path) for each in self.shards)


def folders() -> list[FeatureFolder]:
    """Every folder of features that holds any."""
    with housekeeping():
        return [each for each in _folders() if each.shards]


def limit() -> int:
    """Bytes that all features may take: `$ZOO_CACHE_LIMIT`, or 20 GB.

    Raises:
        CacheError: the variable is no size.
    """
    said = os.environ.get("ZOO_CACHE_LIMIT") or _LIMIT
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?B)\s*", said, re.IGNORECASE)
    if match is None:
        raise CacheError(f"ZOO_CACHE_LIMIT is a size such as 20GB or 500 MiB, not {said!r}")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def make_room(needed: int, *, only_check: bool = False) -> None:
    """Remove what was least recently used until so many bytes more are within the limit.

    Call it under `housekeeping()`.

    Args:
        only_check: remove nothing yet.

    Raises:
        CacheError: what running processes use leaves too little room.
    """
    allowed = limit()
    shards = [shard for folder in _folders() for shard in folder.shards]
    fixed = sum(each.size for each in shards if each.in_use)
    if fixed + needed > allowed:
        raise CacheError(
            f"these features take {needed / 1e9:.3g} GB more, and what running processes use takes "
            f"{fixed / 1e9:.3g} GB of the {allowed / 1e9:.3g} GB that all features may take; raise "
            "ZOO_CACHE_LIMIT"
        )
    if only_check:
        return
    excess = sum(each.size for each in shards) + needed - allowed
    for shard in sorted(shards, key=lambda each: each.used_ns):
        if excess <= 0:
            break
        if not shard.in_use and _unlink(shard.path):
            excess -= shard.size
    _remove_empty()


def prune(days: float) -> list[FeatureFolder]:
    """What was not used for so long and is not in use, folder by folder."""
    before = time.time_ns() - days * _DAY_NS
    found = []
    for folder in folders():
        old = [each for each in folder.shards if each.used_ns < before and not each.in_use]
        if old:
            found.append(FeatureFolder(folder.path, folder.about, old))
    return found


def remove_old(folder: FeatureFolder) -> bool:
    """Remove the files of a folder that `prune` found; False if all are in use again."""
    wanted = {each.path: each.used_ns for each in folder.shards}
    with housekeeping():
        gone = [
            _unlink(shard.path)
            for shard in _shards(folder.path)
            if wanted.get(shard.path) == shard.used_ns and not shard.in_use
        ]
        _remove_empty()
    return any(gone)


def _folders() -> Iterator[FeatureFolder]:
    for path in sorted(each for each in features_folder().iterdir() if each.is_dir()):
        try:
            about = json.loads((path / ABOUT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            about = {}
        yield FeatureFolder(path, about if isinstance(about, dict) else {}, list(_shards(path)))


def _shards(folder: Path) -> Iterator[ShardFile]:
    since = in_use_since(folder)
    for path in sorted(folder.glob("*.safetensors")):
        try:
            found = path.stat()
        except FileNotFoundError:  # found damaged by another process, which removed it
            continue
        in_use = since is not None and found.st_mtime_ns >= since
        yield ShardFile(path, found.st_size, found.st_mtime_ns, in_use)


def _remove_empty() -> None:
    for folder in _folders():
        if not folder.shards and in_use_since(folder.path) is None:
            shutil.rmtree(folder.path, ignore_errors=True)


def _unlink(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except PermissionError:  # Windows: a process has mapped it
        return False
    return True


def _rows(path: Path) -> int:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            return int(file.get_slice("keys").get_shape()[0])
    except (SafetensorError, OSError, ValueError):
        return 0
