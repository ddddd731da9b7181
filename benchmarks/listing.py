"""How long it takes to import and to list, in fresh processes, in turn with open_clip and timm."""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "zoo_list": [sys.executable, "-m", "zoo.list"],
    "zoo_import": [sys.executable, "-c", "import zoo"],
    "open_clip_list": [sys.executable, "-c", "import open_clip; open_clip.list_models()"],
    "open_clip_import": [sys.executable, "-c", "import open_clip"],
    "timm_list": [sys.executable, "-c", "import timm; timm.list_models()"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if importlib.util.find_spec("open_clip") is None:
        parser.error("the peer is not installed: pip install open_clip_torch")
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(options.runs + 1):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if turn:  # the first one warms the disk cache
                seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in median.items():
        print(f"{name:<18}{value:8.3f} s   ({min(seconds[name]):.3f} to {max(seconds[name]):.3f})")
    ratios = {
        "open_clip": median["open_clip_list"] / median["zoo_list"],
        "timm": median["timm_list"] / median["zoo_list"],
        "open_clip_import": median["open_clip_import"] / median["zoo_import"],
    }
    for name, ratio in ratios.items():
        print(f"zoo against {name}: {ratio:.0f} times faster")
    if options.json:
        figures = {name: round(value, 4) for name, value in median.items()}
        print(json.dumps({**figures, "ratios": {k: round(v, 1) for k, v in ratios.items()}}))


if __name__ == "__main__":
    main()
