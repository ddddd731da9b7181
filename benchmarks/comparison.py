"""A comparison of 75 models from cold caches: 5 heads, 5 losses, 3 seeds; the bar is 30 minutes.

    python benchmarks/comparison.py [--json] [--epochs 20]

It is the leaderboard's grid with one encoder. Rendering of pictures, hashing and features are in the
time, and nothing is in the cache at its start.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from zoo.comparison.grid import read_grid
from zoo.comparison.summary import Summary

GRID = Path(__file__).parent.parent / "docs" / "leaderboard" / "grid.toml"
BAR = 1800.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, help="of each training; those of the grid")
    parser.add_argument("--json", action="store_true", help="print one object on the last line")
    asked = parser.parse_args()

    said = read_grid(GRID).model_dump()
    said["grid"] = {
        "head": said["grid"]["head"][:5],
        "encoder": said["grid"]["encoder"][:1],
        "loss": said["grid"]["loss"],
    }
    if asked.epochs:
        said["train"]["epochs"] = asked.epochs
    with tempfile.TemporaryDirectory() as folder:
        grid, out = Path(folder, "grid.json"), Path(folder, "out")
        grid.write_text(json.dumps(said))
        command = [sys.executable, "-m", "zoo", "compare", str(grid), "--out", str(out)]
        began = time.perf_counter()
        subprocess.run(
            command,
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "ZOO_CACHE": str(Path(folder, "cache"))},
        )
        seconds = time.perf_counter() - began
        found = Summary.model_validate_json((out / "results.json").read_bytes())
    cells = sum(len(each.seeds) for each in found.entries)
    training = sum(each.train_seconds * len(each.seeds) for each in found.entries)
    figures = {
        "cells": cells,
        "seconds": round(seconds, 1),
        "seconds_a_cell": round(seconds / cells, 2),
        "share_in_training_steps": round(training / seconds, 3),
        "ratios": {"30 minutes": round(BAR / seconds, 2)},
    }
    print(f"{cells} cells in {seconds / 60:.1f} minutes, {training / seconds:.0%} of it in steps")
    if asked.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
