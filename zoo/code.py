"""Code by what it says: a hash of the files that classes and functions are written in."""

from __future__ import annotations

import functools
import hashlib
import linecache
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

__all__ = ["code_of"]


def code_of(*things: Any) -> str | None:
    """One hash over all of each file that these, and the bases of classes, are written in.

    A cell of a notebook counts as a file. What a file imports is no part of it, nor where it lies; code
    that is compiled has a version alone.

    Returns:
        None where the code is in no file, as what is typed into an interpreter.
    """
    files = {name: None for each in things for part in _parts(each) for name in _files(part)}
    said = [_content(name) for name in files]
    if None in said:
        return None
    hashes = sorted(hashlib.sha256(content).hexdigest() for content in said if content is not None)
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _parts(thing: Any) -> tuple[Any, ...]:
    while isinstance(thing, functools.partial):
        thing = thing.func
    if isinstance(thing, type):
        return thing.__mro__
    return (thing,) if hasattr(thing, "__qualname__") else type(thing).__mro__


def _files(part: Any) -> Iterator[str]:
    """Of one that is in no module's file, those that its functions were compiled from."""
    file = getattr(sys.modules.get(part.__module__ or ""), "__file__", None)
    if file is not None:
        yield file
        return
    for each in vars(part).values() if isinstance(part, type) else (part,):
        if isinstance(each, FunctionType):
            yield each.__code__.co_filename


def _content(name: str) -> bytes | None:
    path = Path(name)
    if path.is_file():
        return path.read_bytes() if path.suffix in (".py", ".pyc") else b""
    return "".join(linecache.getlines(name)).encode() or None
