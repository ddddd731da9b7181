"""Time and memory to build `resnet50-clip`: zoo, the libraries directly, and the reference's way.

Every run is a process of its own, in turn, on weights laid out as the hub and torchvision lay them
out (seeded stand-ins, unless --here uses the caches of this machine). Measured beyond the imports:
seconds and growth of peak resident memory to build, and the growth once every weight is in use
(each one read once, as `model.to("cuda")`, saving or training does). transformers maps checkpoints
into memory, so that before use they take none.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

COMMON = """
import json, sys, time
import torch, torchvision
from transformers import CLIPModel, CLIPTextModelWithProjection
{imports}
REPOSITORY = dict(pretrained_model_name_or_path="openai/clip-vit-base-patch32",
    revision="3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268", use_safetensors=False)

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))

before, start = peak(), time.perf_counter()
{build}
seconds, built = time.perf_counter() - start, peak()
for part in parts:
    for tensor in part.state_dict().values():
        tensor.sum()
total = time.perf_counter() - start
print(json.dumps(dict(seconds=seconds, megabytes=built - before, seconds_in_use=total,
    megabytes_in_use=peak() - before)))
"""
IMPORTS = "import zoo, zoo.clip, zoo.encoders.clip_text, zoo.encoders.torchvision_image"
WAYS = {
    "zoo": (IMPORTS, "parts = [zoo.build('resnet50-clip')]"),
    "direct": (
        "",
        "parts = [torchvision.models.resnet50(weights='IMAGENET1K_V2'), "
        "CLIPTextModelWithProjection.from_pretrained(**REPOSITORY)]",
    ),
    "reference": (
        "",
        "parts = [torchvision.models.resnet50(weights='IMAGENET1K_V2'), "
        "CLIPModel.from_pretrained(**REPOSITORY)]",
    ),
}
UNITS = {"seconds": "s", "megabytes": "MB", "seconds_in_use": "s", "megabytes_in_use": "MB"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--here", action="store_true", help="real weights, from this machine's caches"
    )
    options = parser.parse_args()
    if not Path("/proc/self/status").is_file():
        parser.error("peak memory is read from /proc, which this system does not have")
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "ZOO_PLUGINS": ""}
        if not options.here:
            environment |= _stand_ins(Path(folder))
        figures: dict[str, dict[str, list[float]]] = {way: {} for way in WAYS}
        for turn in range(options.runs + 1):
            for way, (imports, build) in WAYS.items():
                code = COMMON.format(imports=imports, build=build)
                done = subprocess.run(
                    [sys.executable, "-W", "ignore", "-c", code],
                    env=environment,
                    check=True,
                    capture_output=True,
                    text=True,
                )
                if turn:  # the first one warms the disk cache, and records hashes
                    for key, value in json.loads(done.stdout.splitlines()[-1]).items():
                        figures[way].setdefault(key, []).append(value)
    median = {
        way: {key: round(statistics.median(values), 3) for key, values in found.items()}
        for way, found in figures.items()
    }
    ratios = {
        f"{key}_to_{way}": round(median["zoo"][key] / median[way][key], 3)
        for way in ("direct", "reference")
        for key in UNITS
    }
    for way, found in median.items():
        print(f"{way:<10}" + "".join(f"  {key} {value:8.2f}" for key, value in found.items()))
    for name, ratio in ratios.items():
        print(f"zoo {name}: {ratio:.2f}")
    if options.json:
        print(json.dumps({**median, "ratios": ratios}))


def _stand_ins(folder: Path) -> dict[str, str]:
    """Caches with seeded weights under the true names, and the variables that lead to them."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    caches = {
        "HF_HOME": str(folder / "huggingface"),
        "TORCH_HOME": str(folder / "torch"),
        "ZOO_DATA": str(folder / "zoo"),
    }
    os.environ |= caches
    from standins import clip_repository, pin, resnet50_checkpoint

    pin(clip_repository(folder / "huggingface" / "hub"), folder / "zoo")
    resnet50_checkpoint(folder / "torch" / "hub" / "checkpoints")
    return caches


if __name__ == "__main__":
    main()
