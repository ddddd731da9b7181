"""Runs the code blocks of a document, in order: `python docs/run.py FILE FOLDER [--set-up]`.

The word after ``` says what a block is:

    sh              a command that must succeed
    sh set-up       the same, but it installs something: only with --set-up
    console         commands after `$ `, each with what it prints (`…` stands for anything)
    python          code; the blocks of a file share their variables
    X file=PATH     the content of a file, for the blocks that follow
    text            not code
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block, and where it begins."""

    where: str
    kind: str
    words: tuple[str, ...]
    code: str

    @property
    def file(self) -> str | None:
        return next((each[5:] for each in self.words if each.startswith("file=")), None)

    @property
    def sets_up(self) -> bool:
        return "set-up" in self.words


def blocks(path: Path) -> list[Block]:
    """The code blocks of a Markdown file."""
    text = path.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        kind, *words = match[1].split() or [""]
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(f"{path.name}:{line}", kind, tuple(words), match[2]))
    return found


def links(text: str) -> list[str]:
    """The files that a document links to, without the places in them."""
    targets = re.findall(r"\]\(([^)\s]+)\)", _FENCE.sub("", text))
    return [each.partition("#")[0] for each in targets if not re.match(r"\w+:|#", each)]


def run(path: Path, folder: Path, *, set_up: bool = False) -> tuple[dict[str, float], str]:
    """Run a file's blocks in a folder: how many seconds each took, and what its Python printed.

    Raises:
        SystemExit: a block fails, prints something else, or is of no known kind.
    """
    scope: dict[str, object] = {"__name__": "__main__"}
    printed = io.StringIO()
    seconds = {}
    for block in blocks(path):
        if block.kind == "text" or (block.sets_up and not set_up):
            continue
        started = time.perf_counter()
        if block.file is not None:
            _write(block, folder)
        elif block.kind == "sh":
            _shell(block, block.code, folder)
        elif block.kind == "console":
            _console(block, folder)
        elif block.kind == "python":
            with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
                exec(compile(block.code, block.where, "exec"), scope)
        else:
            raise SystemExit(f"{block.where}: what is a block of kind {block.kind!r}?\n{__doc__}")
        seconds[block.where] = time.perf_counter() - started
    return seconds, printed.getvalue()


def durations(seconds: dict[str, float]) -> str:
    """The blocks that took more than a second, the slowest first."""
    slowest = sorted(seconds.items(), key=lambda each: -each[1])
    return "".join(f"{spent:6.1f} s  {where}\n" for where, spent in slowest if spent > 1)


def _write(block: Block, folder: Path) -> None:
    assert block.file is not None
    target = folder / block.file
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(block.code, encoding="utf-8")
    if block.kind == "toml":
        tomllib.loads(block.code)
    elif block.kind == "json":
        json.loads(block.code)
    elif block.kind == "python":
        compile(block.code, block.where, "exec")


def _shell(block: Block, code: str, folder: Path) -> str:
    """Output and errors of commands that must succeed, unless they say `error:`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode and block.kind != "console":
        raise SystemExit(f"{block.where}: exit status {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


def _console(block: Block, folder: Path) -> None:
    for session in re.split(r"^\$ ", block.code, flags=re.MULTILINE)[1:]:
        command, _, shown = session.partition("\n")
        said = " ".join(_shell(block, command, folder).split())
        pieces = [re.escape(" ".join(each.split())) for each in shown.split("…")]
        if not re.fullmatch(r"\s*.*\s*".join(pieces), said):
            raise SystemExit(f"{block.where}: {command!r} prints\n{said}\nand not\n{shown}")


if __name__ == "__main__":
    document, place = map(Path, sys.argv[1:3])
    spent, _ = run(document, place.resolve(), set_up="--set-up" in sys.argv)
    print(f"{durations(spent)}{document}: {len(spent)} blocks ran")
