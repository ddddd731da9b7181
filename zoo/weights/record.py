"""What weights files hold: pinned hashes, and those that were found when a file was first read.

Pins come with zoo (`pins.toml`), and `pins.toml` in the data folder, where there is one, adds to them
and replaces them: for a mirror, or weights of one's own under a public name. For what nobody pinned,
the hash of the first download is kept in the data folder, and the file must have it from then on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import tomllib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zoo.cache import data_folder
from zoo.errors import WeightsError
from zoo.weights.read import sha256_of

__all__ = [
    "Record",
    "forget",
    "is_recorded",
    "pin_of",
    "recorded_if_usable",
    "records",
    "verified",
]

PINS = "pins.toml"
_waiting: ContextVar[list[Record] | None] = ContextVar("waiting", default=None)


@dataclass(frozen=True)
class Record:
    """A file as it was when its hash was last computed.

    Args:
        source: where it came from: `hf://owner/name@commit` or a URL.
        file: its name there.
        path: where it is here.
        state: size, time of change and inode; while they stay, it is not read again to be verified.
    """

    source: str
    file: str
    path: str
    sha256: str
    state: tuple[int, int, int]

    @property
    def size(self) -> int:
        return self.state[0]


def verified(path: Path, source: str, file: str = "") -> str:
    """The sha256 of a file, which is the one that is pinned, or recorded when it was first read.

    It is read for this only when it has changed since it was last read.

    Raises:
        WeightsError: it is another file than the one that is pinned or recorded.
    """
    file = file or path.name
    pin, where = pin_of(source, file)
    waiting = _waiting.get()
    fresh = (each for each in waiting or () if (each.source, each.file) == (source, file))
    record = next(fresh, None) or _read(_place(source, file))
    state = _state(path)
    if record is not None and record.state == state and pin in (None, record.sha256):
        return record.sha256
    found = sha256_of(path)
    expected = pin or (record.sha256 if record is not None else found)
    if found != expected:
        how = f"pinned in {where}" if pin else "there when zoo first read it"
        mend = "" if pin else f"; if it is meant to be another one: zoo cache forget {source}"
        raise WeightsError(
            f"{path}: not the file of {source} that was {how}: sha256 is {found}, and should be "
            f"{expected}. Delete it and let it be fetched again{mend}"
        )
    made = Record(source, file, str(path.absolute()), found, state)
    if waiting is None:
        _write(made)
    else:
        waiting.append(made)
    return found


def is_recorded(path: Path) -> bool:
    """Whether a file has not changed since it was recorded, and so was found usable then."""
    try:
        here = str(path.absolute()), _state(path)
    except OSError:
        return False
    return any((each.path, each.state) == here for each in records())


@contextlib.contextmanager
def recorded_if_usable() -> Iterator[None]:
    """What is verified inside is recorded at the end, and not at all if the weights are refused.

    So a damaged download does not become the one that later ones must equal.
    """
    if _waiting.get() is not None:  # the outer one knows whether all of it is usable
        yield
        return
    token = _waiting.set([])
    try:
        yield
        for fresh in _waiting.get() or ():
            _write(fresh)
    finally:
        _waiting.reset(token)


def pin_of(source: str, file: str) -> tuple[str | None, Path]:
    """The pinned sha256 of a file, if there is one, and the file that pins it."""
    own, shipped = data_folder() / PINS, Path(__file__).with_name(PINS)
    for place in (own, shipped):
        found = _pins(place).get(source, {}).get(file)
        if found is not None:
            return str(found), place
    return None, shipped


def records() -> Iterator[Record]:
    """Everything recorded, by source and file."""
    found = map(_read, data_folder("weights").glob("*.json"))
    yield from sorted(
        (each for each in found if each is not None), key=lambda each: (each.source, each.file)
    )


def forget(source: str) -> list[Record]:
    """Take away the records of a source, so that its files are recorded afresh."""
    gone = [record for record in records() if source in (record.source, record.path)]
    for record in gone:
        _place(record.source, record.file).unlink(missing_ok=True)
    return gone


def _pins(place: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(place.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise WeightsError(f"{place}: the pins cannot be read: {error}") from error


def _place(source: str, file: str) -> Path:
    name = hashlib.sha256(f"{source}\n{file}".encode()).hexdigest()[:32]
    return data_folder("weights") / f"{name}.json"


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _read(place: Path) -> Record | None:
    """A record; None where there is none, or a damaged one, which is made again."""
    try:
        data = json.loads(place.read_text(encoding="utf-8"))
        return Record(**{**data, "state": tuple(data["state"])})
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _write(record: Record) -> None:
    place = _place(record.source, record.file)
    with contextlib.suppress(OSError):  # where nothing can be kept, every build verifies
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=place.parent, suffix=".draft")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(record), file, indent=2)
        Path(draft).replace(place)
