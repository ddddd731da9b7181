"""Random specs and damaged files, read under a watch.

`run` makes and reads many of one kind. Each ends in success or a `ZooError`; anything else raises:
another error, a program started, a socket, code run, a module imported that zoo does not use, a file
written elsewhere, or more than `SECONDS` for one.
"""

from __future__ import annotations

import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from PIL import Image

from hostile.built import BUILT
from hostile.damage import Kind
from hostile.folders import FOLDERS
from hostile.pictures import PICTURES
from hostile.repositories import REPOSITORIES
from hostile.specs import SPECS as UNBUILT
from hostile.tables import TABLES
from hostile.watch import SECONDS, Foreign, in_time, watched
from hostile.weights import WEIGHTS
from zoo.assembly import plan
from zoo.errors import ZooError

__all__ = ["FILES", "SECONDS", "SLOW", "SPECS", "Foreign", "run", "spread", "watched"]

SPECS: dict[str, Kind] = UNBUILT | BUILT
SLOW = (BUILT | REPOSITORIES | FOLDERS).keys()
"""Kinds of which each builds a network."""
FILES: dict[str, Kind] = PICTURES | WEIGHTS | TABLES | REPOSITORIES | FOLDERS


def spread(kinds: dict[str, Kind], total: int) -> dict[str, int]:
    """How many of each kind make so many in all: a four-hundredth of them of each that is slow."""
    slow = kinds.keys() & SLOW
    few = -(-total // 400)
    many = -(-(total - few * len(slow)) // (len(kinds) - len(slow)))
    return {kind: few if kind in slow else many for kind in kinds}


def run(kind: str, examples: int) -> Counter[str]:
    """Read as many random things of a kind: how many were good, and how many had which error."""
    make, read = (SPECS | FILES)[kind]
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(name)
        strategy = make(folder)
        _warm_up(read, folder)

        @settings(
            max_examples=examples,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def attempt(thing: Any) -> None:
            try:
                with in_time(), watched():
                    read(thing, folder)
            except ZooError as error:
                said = str(error)
                outcomes[type(error).__name__ if said else "an error that says nothing"] += 1
            else:
                outcomes["success"] += 1

        attempt()
    return outcomes


def _warm_up(read: Callable[[Any, Path], None], folder: Path) -> None:
    """Once unwatched, so that what is imported on first use is there."""
    Image.init()
    for path in folder.glob("whole*"):
        if path.is_file():
            read(path.read_bytes(), folder)
    plan("resnet50-clip", overrides={"image.encoder": "timm/test_resnet"}).check()
    for wrong in ({"base": "resnet50"}, {"base": "resnet50-clip", "image": {"encodr": 3}}):
        try:
            plan(wrong)
        except ZooError:
            continue
