"""How the command line speaks: results to stdout, everything else to stderr, one message an error."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.console import Console

from zoo.errors import RunStopped, SpecError, ZooError

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["err", "out", "overrides_from", "print_json", "resuming", "run", "table", "values_from"]

_WIDE = 160


def out() -> Console:
    """The console for results; wide when nobody watches, so that no name is cut."""
    width = None if sys.stdout.isatty() else _WIDE
    return Console(width=width, highlight=False, markup=False, emoji=False)


def err() -> Console:
    """The console for progress, notes and errors."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def run(command: Callable[[], Any]) -> None:
    """Run a command. Exit status 1 and one message, without a traceback, for zoo's own errors.

    A run that a signal stopped and that was kept ends as one that the signal ended: with 128 and its
    number.
    """
    try:
        command()
    except RunStopped as stop:
        if os.environ.get("RANK", "0") == "0":
            print(f"{stop}\n  {resuming(sys.argv)}", file=sys.stderr)
        sys.exit(128 + stop.signal)
    except (ZooError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def resuming(words: list[str], processes: int | None = None) -> str:
    """The command that goes on with the run of this one, from where it was stopped.

    Args:
        processes: of the run; as the environment says, if not given. What started several is not known.
    """
    kept: list[str] = []
    rest = iter(words[1:])
    for word in rest:
        if word == "--from-step":
            next(rest, None)
        elif word not in ("--resume", "--overwrite") and not word.startswith("--from-step="):
            kept.append(word)
    command = shlex.join(["zoo", *kept, "--resume"])
    if processes is None:
        processes = int(os.environ.get("WORLD_SIZE", "1"))
    return command if processes == 1 else f"in {processes} processes, as before: {command}"


def print_json(data: object) -> None:
    """Print data as JSON, and nothing else."""
    print(json.dumps(data, indent=2, ensure_ascii=False))


def table(*columns: str) -> Table:
    """An empty table without lines, the names in its first column never cut."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for number, column in enumerate(columns):
        made.add_column(column, no_wrap=number == 0, overflow="fold")
    return made


def overrides_from(pairs: list[str] | None) -> dict[str, Any]:
    """`PATH=VALUE` words as overrides; a value is read as TOML, and as text where it is not.

    Raises:
        SpecError: a word without `=`.
    """
    overrides: dict[str, Any] = {}
    for pair in pairs or []:
        path, equals, value = pair.partition("=")
        if not equals or not path.strip():
            raise SpecError(f"--set {pair!r}: write PATH=VALUE, as in image.head.name=linear")
        overrides[path.strip()] = _value(value)
    return overrides


def values_from(text: str) -> list[Any]:
    """Values with commas between them, each read as TOML, and as text where it is not.

    Commas within brackets, braces and quotes are their own.
    """
    parts, inside = [""], [""]
    closing = {"[": "]", "{": "}", '"': '"', "'": "'"}
    for letter in text:
        if letter == inside[-1]:
            inside.pop()
        elif letter in closing and inside[-1] not in ('"', "'"):
            inside.append(closing[letter])
        if letter == "," and len(inside) == 1:
            parts.append("")
        else:
            parts[-1] += letter
    return [_value(each) for each in parts if each.strip()]


def _value(text: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()
