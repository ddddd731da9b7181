"""Kills runs at random moments, resumes them, and counts those that end as one that was left alone.

With 0 and 4 workers, 1 and 2 processes, pairs in a list and streamed; every second kill comes while a
checkpoint is being written. It ends with status 1 if a run ends otherwise, or if no kill left a
checkpoint half written.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
os.environ.update(HF_HUB_OFFLINE="1")

from faults import CELLS, battered, runs, whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    began, chance, rows = time.perf_counter(), random.Random(options.seed), []
    shares = [options.kills * number // len(CELLS) for number in range(len(CELLS) + 1)]
    with tempfile.TemporaryDirectory(prefix="zoo-faults-") as folder, runs(Path(folder)) as made:
        for number, cell in enumerate(CELLS):
            kills = shares[number + 1] - shares[number]
            expected, seconds = whole(made, cell)
            outcome = battered(made, cell, kills, expected, seconds, chance)
            rows.append(outcome)
            told = "identical" if outcome.identical else "DIFFERENT"
            print(
                f"{cell!s:<40}{outcome.kills:>3} kills, {outcome.in_checkpoint} of them in the midst of "
                f"a checkpoint, {outcome.before_any} before the first: {told}",
                flush=True,
            )
    kills = sum(each.kills for each in rows)
    identical = sum(each.kills for each in rows if each.identical)
    in_checkpoint = sum(each.in_checkpoint for each in rows)
    print(f"{kills} kills; {identical} of them in runs that end with the same weights and log")
    if options.json:
        figures = {
            "kills": kills,
            "identical": identical,
            "in_checkpoint": in_checkpoint,
            "cells": len(rows),
            "seconds": round(time.perf_counter() - began),
        }
        print(json.dumps({**figures, "ratios": {}}))
    if identical < kills:
        raise SystemExit(f"{kills - identical} of {kills} kills are in runs that ended otherwise")
    if not in_checkpoint:
        raise SystemExit("no kill left a checkpoint half written, which is what they are for")


if __name__ == "__main__":
    main()
