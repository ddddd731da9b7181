"""A file of features: rows and the keys of their inputs, named by the hash of its content."""

from __future__ import annotations

import functools
import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

__all__ = [
    "DamagedError",
    "Shard",
    "check_whole",
    "open_shard",
    "read_keys",
    "touch",
    "write_shard",
]

_TYPES = (torch.float32, torch.bfloat16, torch.float16)


class DamagedError(Exception):
    """A file is not what zoo wrote under this name; the message says why."""


@dataclass(frozen=True)
class Shard:
    """A file of features, mapped.

    Args:
        keys: of `_DIGEST` bytes each, one for each row.
        rows: `(rows, ...)`.
    """

    path: Path
    keys: list[bytes]
    rows: Tensor


def write_shard(folder: Path, of: str, keys: Sequence[bytes], rows: Tensor, draft: Path) -> Path:
    """Write rows as a new file, which appears whole and safe from a power cut, or not at all.

    Args:
        of: what computed the rows; a reader refuses those of another.
        draft: where to write it first, in the same folder.
    """
    digests = torch.from_numpy(
        np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), -1).copy()
    )
    content = save({"keys": digests, "rows": rows.contiguous()}, {"of": of})
    path = folder / f"{hashlib.sha256(content).hexdigest()}.safetensors"
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        touch(draft)
        try:
            draft.replace(path)
        except PermissionError:  # Windows: it is there already, and mapped
            if not path.is_file():
                raise
    finally:
        draft.unlink(missing_ok=True)
    _sync(folder)
    _is_whole(str(path), path.stat().st_size, path.stat().st_ino)
    return path


def read_keys(path: Path, of: str) -> list[bytes]:
    """The keys of a file's rows, read without the rows.

    Raises:
        FileNotFoundError: another process has removed it.
        DamagedError: it is cut off, of another format, or of something else.
    """
    return _open(path, of).keys


def open_shard(path: Path, of: str) -> Shard:
    """A file mapped into memory, of which every byte is as it was written.

    The whole file is read for that once in a process.

    Raises:
        FileNotFoundError: another process has removed it.
        DamagedError: it is not.
    """
    check_whole(path)
    return _open(path, of)


def check_whole(path: Path) -> None:
    """Raise `DamagedError` if a file's content has not the hash that is its name."""
    found = path.stat()
    if not _is_whole(str(path), found.st_size, found.st_ino):
        _is_whole.cache_clear()  # a good one may come in its place
        raise DamagedError("its content is not what was written")


def touch(path: Path) -> None:
    """Set the time of last use, by the clock that presences are dated by."""
    now = time.time_ns()
    os.utime(path, ns=(now, now))


def _open(path: Path, of: str) -> Shard:
    try:
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("of") != of:
                raise DamagedError("it holds features of something else")
            keys, rows = file.get_tensor("keys"), file.get_tensor("rows")
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedError(f"not a whole file: {error}") from error
    if keys.dtype != torch.uint8 or keys.ndim != 2 or rows.dtype not in _TYPES or rows.ndim < 2:
        raise DamagedError("it holds tensors of other types")
    if len(keys) != len(rows) or len(keys) == 0:
        raise DamagedError(f"it holds {len(keys)} keys and {len(rows)} rows")
    content, width = keys.numpy().tobytes(), keys.shape[1]
    return Shard(
        path, [content[start : start + width] for start in range(0, len(content), width)], rows
    )


@functools.cache
def _is_whole(path: str, size: int, inode: int) -> bool:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == Path(path).stem


def _sync(folder: Path) -> None:
    """Make a renaming last; where folders cannot be opened, the system does so by itself."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
