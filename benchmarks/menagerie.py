"""How long `python -m zoo.list` takes with every broken plugin of the tests installed at once."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from registry.menagerie import ANIMALS, ODD, PAIR, SOUND


def listing(paths: list[Path]) -> tuple[dict[str, list[object]], float]:
    """What is listed with these folders on the path (none: no plugin at all), and the seconds."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    if not paths:
        environment["ZOO_PLUGINS"] = ""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "zoo.list", "--json"],
        env=environment,
        check=True,
        capture_output=True,
    )
    return json.loads(done.stdout), time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sound = SOUND(Path(folder, "sound"))
        pair = PAIR(Path(folder, "pair"))
        broken = [path for key, each in ANIMALS.items() for path in each.write(Path(folder, key))]
        odd = [path for key, write in ODD.items() for path in write(Path(folder, key))]
        for title, paths in (
            ("no plugin", []),
            ("sound plugins", [*pair, *sound]),
            ("odd ones too", [*odd, *pair, *sound]),
            ("the whole menagerie", [*broken, *odd, *pair, *sound]),
        ):
            runs = [listing(paths) for _ in range(options.runs)]
            seconds = [each for _, each in runs]
            listed = runs[0][0]
            print(
                f"{title:<20}{statistics.median(seconds):6.3f} s ({min(seconds):.3f} to "
                f"{max(seconds):.3f})  {len(listed['components'])} listed, "
                f"{len(listed['failures'])} FAILED"
            )


if __name__ == "__main__":
    main()
