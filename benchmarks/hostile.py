"""Reads random specs and damaged files, 10,000 of each, and counts how they end."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
os.environ.update(
    ZOO_PLUGINS="",
    HF_HUB_OFFLINE="1",
    **dict.fromkeys(("HF_HOME", "ZOO_CACHE", "ZOO_DATA"), tempfile.mkdtemp(prefix="zoo-")),
)

from hostile import FILES, SPECS, run, spread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="of specs, and of files")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for group, kinds in (("specs", SPECS), ("files", FILES)):
        for kind, count in spread(kinds, options.count).items():
            start = time.perf_counter()
            outcomes = run(kind, count)
            seconds = round(time.perf_counter() - start, 1)
            rows.append({"group": group, "kind": kind, "seconds": seconds, **outcomes})
            if not options.json:
                refused = sum(outcomes.values()) - outcomes["success"]
                print(f"{kind:<24}{outcomes['success']:>7} good{refused:>7} refused{seconds:>8} s")
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    for group in ("specs", "files"):
        total = sum(
            value
            for row in rows
            for key, value in row.items()
            if row["group"] == group and key not in ("group", "kind", "seconds")
        )
        print(f"{total:,} {group}: each a success or an error of zoo's own; nothing was set off")


if __name__ == "__main__":
    main()
