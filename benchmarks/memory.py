"""Resident memory of a long run of `zoo train`, by step: that it stays where it is.

A small model trains for 2,000 steps, from a list and from a stream of pictures on the disk, with
augmentation, evaluation, logs, and a checkpoint every 50 steps. Counted is what the process that trains
holds, and by how much those that read pictures grow: means over a hundred steps, from the 200th on and
at the end. Exit status 1 if both together grow by more than the bound.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import psutil

WARM_UP, WINDOW, EVERY = 200, 100, 20
WAYS = {"list": [], "stream": ["--stream"]}
COLOURS = ("red", "green", "blue", "gold", "pink", "teal", "navy", "grey")


def write(folder: Path, count: int) -> None:
    """Pictures of noise over a colour, a table of their captions, and a model that trains on them."""
    import numpy as np
    from PIL import Image

    pictures = folder / "pictures"
    pictures.mkdir()
    with (pictures / "metadata.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("file_name", "caption"))
        for number in range(count):
            draw = np.random.default_rng(number).integers(0, 256, (64, 80, 3), dtype=np.uint8)
            colour = COLOURS[number % len(COLOURS)]
            noise = Image.fromarray(draw)
            plain = Image.new("RGB", noise.size, colour)
            Image.blend(plain, noise, 0.3).save(pictures / f"{number}.jpg")
            rows.writerow((f"{number}.jpg", f"{colour} number {number}"))
    recipe = {
        "batch_size": 8,
        "workers": 2,
        "sampling": "pair",
        "log_every": EVERY,
        "precision": "fp32",
        "augmentation": {"flip": 0.5, "crop": {"scale": [0.6, 1.0]}, "colour_jitter": {"hue": 0.1}},
        "checkpoint": {"steps": 50},
        "guards": "advise",
    }
    encoder = {"name": "timm/test_resnet", "args": {"image_size": 32}}
    spec = {
        "embedding_dim": 16,
        "image": {"encoder": encoder, "weights": "none", "head": "linear", "train": "full"},
        "text": {"encoder": "letters", "weights": "none", "head": "identity", "train": "frozen"},
        "train": recipe,
    }
    (folder / "small.json").write_text(json.dumps(spec))


def train(words: list[str]) -> None:
    """In a process of its own: the command, with a text encoder that needs no weights."""
    import torch

    import zoo
    from zoo.cli.main import main as zoo_command

    class Letters(torch.nn.Module):
        """The mean of a vector for each letter."""

        out_dim, context_length = 16, 24

        def __init__(self, *, weights: str | None = None) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(128, self.out_dim)

        def tokenizer(self, texts: list[str]) -> dict[str, torch.Tensor]:
            rows = [[ord(each) % 128 for each in text[:24].ljust(24)] for text in texts]
            ids = torch.tensor(rows)
            return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.table(input_ids).mean(1)
            return found

    zoo.register("text_encoder", "letters", Letters)
    warnings.filterwarnings("ignore", message="this model depends on")
    sys.argv = ["zoo", *words]
    zoo_command()


def measured(folder: Path, way: str, steps: int) -> Iterator[tuple[int, float, float]]:
    """At each line of a run's log: its step, and the megabytes that it and its readers hold.

    Raises:
        SystemExit: the run failed.
    """
    run = folder / way
    words = ["train", str(folder / "small.json"), "--data", str(folder / "pictures")]
    words += ["--out", str(run), "--steps", str(steps), *WAYS[way]]
    with (folder / f"{way}.txt").open("w") as said:
        running = subprocess.Popen([sys.executable, __file__, "--run", *words], stderr=said)
        seen, log = 0, run / "timing.jsonl"
        while running.poll() is None:
            lines = log.read_text().splitlines(keepends=True) if log.is_file() else []
            if len(lines) > seen and lines[-1].endswith("\n"):
                seen = len(lines)
                if (found := held(running.pid)) is not None:
                    yield json.loads(lines[-1])["step"], *found
            time.sleep(0.01)
    if running.returncode:
        raise SystemExit((folder / f"{way}.txt").read_text())


def held(pid: int) -> tuple[float, float] | None:
    """Resident megabytes of a process, and of all that it started; None if one of them ends."""
    try:
        process = psutil.Process(pid)
        readers = process.children(recursive=True)
        own, theirs = process.memory_info().rss, sum(each.memory_info().rss for each in readers)
    except psutil.NoSuchProcess:
        return None
    return own / 1e6, theirs / 1e6


def figures(samples: list[tuple[int, float, float]], steps: int) -> dict[str, float]:
    """Means over the first steps after the warm-up, and over the last but the very last."""
    early, late = (
        [each[1:] for each in samples if begin <= each[0] < begin + WINDOW]
        for begin in (WARM_UP, steps - WINDOW)
    )
    (before, readers_before), (after, readers_after) = (
        tuple(map(mean, zip(*each, strict=True))) for each in (early, late)
    )
    return {
        f"rss_after_{WARM_UP}_mb": round(before, 1),
        "rss_at_end_mb": round(after, 1),
        "growth_mb": round(after - before, 1),
        "readers_growth_mb": round(readers_after - readers_before, 1),
    }


def main() -> int:
    if sys.argv[1:2] == ["--run"]:
        train(sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--bound", type=float, default=16.0, help="megabytes that it may grow by")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.steps < WARM_UP + 2 * WINDOW:
        parser.error(f"--steps is {WARM_UP + 2 * WINDOW} or more")
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), options.pictures)
        for way in WAYS:
            samples = list(measured(Path(name), way, options.steps))
            found[way] = figures(samples, options.steps)
            early, late, growth, readers = found[way].values()
            print(
                f"{way:<8}{early:8.1f} MB after {WARM_UP} steps, {late:8.1f} MB after {options.steps:,}: "
                f"{growth:+.1f} MB, and {readers:+.1f} MB in processes that read pictures"
            )
    worst = max(each["growth_mb"] + max(each["readers_growth_mb"], 0) for each in found.values())
    if options.json:
        print(json.dumps({**found, "growth_mb": round(worst, 1), "bound_mb": options.bound}))
    return int(worst > options.bound)


if __name__ == "__main__":
    sys.exit(main())
