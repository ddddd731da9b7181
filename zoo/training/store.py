"""Rows of features on disk, under keys of their inputs, in a folder of all that computed them."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.cache import features_folder
from zoo.errors import CacheError
from zoo.training.presence import Presence, housekeeping
from zoo.training.room import ABOUT, make_room
from zoo.training.rows import Features
from zoo.training.shards import (
    DamagedError,
    Shard,
    check_whole,
    open_shard,
    read_keys,
    touch,
    write_shard,
)

__all__ = ["Store", "damaged_shards"]

_log = logging.getLogger(__name__)

_BYTES = 16_000_000
_SECONDS = 15.0


class Store:
    """Rows that one encoder computes in one way: found, added as the work goes, handed out mapped.

    A file of them is written every 16 MB and every 15 seconds of work: what is in one outlives the
    process. Any number of processes may use a folder at once; two that compute the same row both keep
    it.

    Args:
        ingredients: all that could change a row; the folder is named by their hash.
        keys: of the inputs that are wanted, in order; some may be the same.

    Raises:
        CacheError: the folder cannot be written.
    """

    def __init__(self, ingredients: Mapping[str, Any], keys: Sequence[bytes]) -> None:
        said = json.dumps(ingredients, sort_keys=True, indent=1)
        self.of = hashlib.sha256(said.encode()).hexdigest()
        self.folder = features_folder() / self.of
        self.keys = keys
        self._wanted = set(keys)
        self._places: dict[bytes, tuple[int, int]] = {}
        self._shards: list[Shard] = []
        self._pending: dict[bytes, Tensor] = {}
        self._written = time.monotonic()
        self._kind: tuple[torch.dtype, tuple[int, ...]] | None = None
        try:
            self._presence = Presence(self.folder)
            self._say(said)
        except OSError as error:
            raise self._cannot(error) from error
        for path in sorted(self.folder.glob("*.safetensors")):
            self._take(path)

    def missing(self) -> list[int]:
        """The inputs that no row is kept of: the first of each that are the same."""
        found, first = self._places.keys() | self._pending.keys(), set()
        missing = []
        for index, key in enumerate(self.keys):
            if key not in found and key not in first:
                first.add(key)
                missing.append(index)
        return missing

    def expect(self, count: int, row: Tensor) -> None:
        """Raise `CacheError` if so many rows like this one cannot be kept within the limit."""
        with housekeeping():
            make_room(count * row.nbytes, only_check=True)

    def add(self, keys: Sequence[bytes], rows: Tensor) -> None:
        """Keep rows; on disk when enough have come together.

        Raises:
            ValueError: they have another type or shape than the rows there are.
            CacheError: they cannot be written, or there is no room for them.
        """
        kind = rows.dtype, tuple(rows.shape[1:])
        if self._kind is None:
            self._kind = kind
        if self._kind != kind:
            raise ValueError(f"a row is {_said(kind)}, and those before are {_said(self._kind)}")
        self._pending |= dict(zip(keys, rows, strict=True))
        size = rows[0].nbytes * len(self._pending)
        if size >= _BYTES or time.monotonic() - self._written >= _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is not on disk yet.

        Raises:
            CacheError: it cannot be written, or there is no room for it.
        """
        self._written = time.monotonic()
        if not self._pending:
            return
        rows = torch.stack(list(self._pending.values()))
        with housekeeping():
            make_room(rows.nbytes)
            try:
                path = write_shard(
                    self.folder, self.of, list(self._pending), rows, self._presence.draft
                )
            except OSError as error:
                raise self._cannot(error) from error
        self._pending.clear()
        self._take(path)

    def features(self, *, without: Collection[int] = ()) -> Features:
        """A row for every key, when none is missing but those to do without."""
        self.flush()
        return Features(
            [shard.rows for shard in self._shards],
            [self._places[key] for index, key in enumerate(self.keys) if index not in without],
            keep=self._presence,
        )

    def _take(self, path: Path) -> None:
        """Map a file if it has rows that are wanted; discard it if it is not what was written."""
        try:
            if all(
                key not in self._wanted or key in self._places for key in read_keys(path, self.of)
            ):
                return
            touch(path)
            shard = open_shard(path, self.of)
            kind = shard.rows.dtype, tuple(shard.rows.shape[1:])
            if self._kind not in (None, kind):
                raise DamagedError(f"a row is {_said(kind)}, and of the others {_said(self._kind)}")
        except FileNotFoundError:
            return
        except DamagedError as error:
            _log.warning("%s: discarded, and computed again: %s", path, error)
            try:
                path.unlink(missing_ok=True)
            except PermissionError:  # Windows: another process has mapped it
                _log.warning("%s: cannot be removed while another process uses it", path)
            return
        self._kind = kind
        number = len(self._shards)
        self._shards.append(shard)
        for row, key in enumerate(shard.keys):
            if key in self._wanted:
                self._places.setdefault(key, (number, row))

    def _say(self, said: str) -> None:
        about = self.folder / ABOUT
        if about.is_file() and about.read_text(encoding="utf-8") == said:
            return
        self._presence.draft.write_text(said, encoding="utf-8")
        self._presence.draft.replace(about)

    def _cannot(self, error: OSError) -> CacheError:
        return CacheError(
            f"{self.folder}: features cannot be kept here: {error.strerror}. Make room, or set "
            "ZOO_CACHE to a folder that can be written"
        )


def damaged_shards() -> Iterator[tuple[Path, str]]:
    """Read every file of features whole, and give for each its path and what is wrong, or ``""``."""
    for path in sorted(features_folder().glob("*/*.safetensors")):
        try:
            check_whole(path)
            read_keys(path, path.parent.name)
        except FileNotFoundError:
            continue
        except DamagedError as error:
            yield path, str(error)
        else:
            yield path, ""


def _said(kind: tuple[torch.dtype, tuple[int, ...]] | None) -> str:
    assert kind is not None
    return f"{tuple(kind[1])} of {str(kind[0]).removeprefix('torch.')}"
