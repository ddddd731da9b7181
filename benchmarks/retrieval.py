"""Retrieval metrics of 5,000 pictures and 25,000 captions, in turn with clip-benchmark's recall."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.evaluation.retrieval import Retrieval, retrieval

KS = (1, 5, 10)
CAPTIONS = 5
WIDTH = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--gallery", type=int, default=0, help="also rank this many pictures")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--one", choices=("zoo", "clip_benchmark", "gallery"), help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    if options.one:
        print(json.dumps(alone(options.one, options.images, options.gallery)))
        return
    if importlib.util.find_spec("clip_benchmark") is None:
        parser.error("the peer is not installed: pip install clip-benchmark")

    images, texts, owner = embeddings(options.images)
    found: dict[str, Any] = {}

    def ours() -> None:
        found["zoo"] = retrieval(images, texts, owner)

    def theirs() -> None:
        found["clip_benchmark"] = peer(images, texts)

    ours()  # the first one warms up
    seconds: dict[str, list[float]] = {"zoo": [], "clip_benchmark": []}
    for _ in range(options.runs):
        seconds["zoo"].append(timed(ours))
        seconds["clip_benchmark"].append(timed(theirs))
    check_equal(found["zoo"], found["clip_benchmark"])

    median = {name: statistics.median(values) for name, values in seconds.items()}
    memory = {name: in_a_process(name, options.images, 0)["gigabytes"] for name in seconds}
    figures = {
        "images": options.images,
        "captions": len(texts),
        "zoo": median["zoo"],
        "with_intervals": median["zoo"] + timed(found["zoo"].estimates),
        "clip_benchmark": median["clip_benchmark"],
        "zoo_gigabytes": memory["zoo"],
        "clip_benchmark_gigabytes": memory["clip_benchmark"],
    }
    if options.gallery:
        figures |= {
            f"gallery_{key}": value
            for key, value in in_a_process("gallery", options.images, options.gallery).items()
        }
    ratios = {
        "clip_benchmark": median["clip_benchmark"] / median["zoo"],
        "clip_benchmark_memory": memory["clip_benchmark"] / memory["zoo"],
    }
    for name, value in figures.items():
        print(f"{name:<26}{value:12,.3f}" if isinstance(value, float) else f"{name:<26}{value:12,}")
    print(f"the same recall as clip-benchmark, {ratios['clip_benchmark']:.1f} times faster")
    if options.json:
        shown = {k: round(v, 3) if isinstance(v, float) else v for k, v in figures.items()}
        print(json.dumps({**shown, "ratios": {k: round(v, 2) for k, v in ratios.items()}}))


class AsTheyAre:
    """A model whose pictures and tokens are embeddings already."""

    def encode_image(self, images: Tensor) -> Tensor:
        return images

    def encode_text(self, tokens: Tensor) -> Tensor:
        return tokens


def embeddings(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Unit vectors of pictures and of captions that are somewhat like them; whose each caption is."""
    generator = torch.Generator().manual_seed(0)
    images = F.normalize(torch.randn(count, WIDTH, generator=generator), dim=1)
    owner = torch.arange(count).repeat_interleave(CAPTIONS)
    noise = torch.randn(len(owner), WIDTH, generator=generator) / WIDTH**0.5
    return images, F.normalize(images[owner] + 6 * noise, dim=1), owner


def peer(images: Tensor, texts: Tensor) -> dict[str, float]:
    """What clip-benchmark's own function says of these embeddings."""
    from clip_benchmark.metrics import zeroshot_retrieval

    found: dict[str, float] = zeroshot_retrieval.evaluate(
        AsTheyAre(),
        as_batches(images),
        lambda names: texts[list(map(int, names))],
        "cpu",
        False,
        KS,
    )
    return found


def as_batches(images: Tensor, size: int = 64) -> list[tuple[Tensor, list[list[str]]]]:
    """What clip-benchmark reads: pictures, and the captions of each, which are numbers in words."""
    names = [[str(row * CAPTIONS + each) for each in range(CAPTIONS)] for row in range(len(images))]
    return [
        (images[start : start + size], names[start : start + size])
        for start in range(0, len(images), size)
    ]


def check_equal(ours: Retrieval, theirs: dict[str, float]) -> None:
    """The same queries found their answers; theirs are means in float32."""
    for k in KS:
        for direction, name in ((ours.image_to_text, "text"), (ours.text_to_image, "image")):
            hits = int((direction.ranks <= k).sum())
            peer = theirs[f"{name}_retrieval_recall@{k}"] * len(direction.ranks)
            if hits != round(peer):
                raise SystemExit(f"{name} recall@{k}: {hits} found, and clip-benchmark's {peer}")


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars
        run()
    return time.perf_counter() - start


def in_a_process(what: str, images: int, gallery: int) -> dict[str, float]:
    """The same in a fresh process, whose memory is then its own."""
    command = [sys.executable, __file__, "--one", what, "--images", str(images)]
    done = subprocess.run(
        [*command, "--gallery", str(gallery)], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def alone(what: str, count: int, gallery: int) -> dict[str, float]:
    """Seconds, and the most memory that this process had, embeddings and libraries included."""
    images, texts, owner = embeddings(1000 if what == "gallery" else count)
    if what == "gallery":
        more = torch.empty(gallery, WIDTH)
        more.normal_(generator=torch.Generator().manual_seed(1))
        more[: len(images)] = images
        images = more
    run = (lambda: peer(images, texts)) if what == "clip_benchmark" else None
    seconds = timed(run or (lambda: retrieval(images, texts, owner)))
    status = Path("/proc/self/status").read_text()  # what getrusage says starts with the parent's
    kilobytes = int(status.partition("VmHWM:")[2].split()[0])
    return {"captions": len(texts), "seconds": seconds, "gigabytes": kilobytes / 1e6}


if __name__ == "__main__":
    main()
