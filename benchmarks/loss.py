"""InfoNCE forward and backward on a large batch, in turn with open_clip's: time, memory, equal gradients.

Each measurement is in a process of its own, so that the peak of its resident memory, less what is
resident once the inputs are there, is the loss's alone. Gradients are those of both batches and of the
temperature's logarithm.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DIM = 512
GIGABYTE = 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=16_384)
    parser.add_argument("--most-pairs", type=int, default=65_536, help="for zoo alone; 0 for none")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", choices=("zoo", "open_clip"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.pairs, options.out)
        return
    if not Path("/proc/self/status").exists():
        parser.error("memory is read from /proc, which this system does not have")
    if importlib.util.find_spec("open_clip") is None:
        parser.error("the peer is not installed: pip install open_clip_torch")
    found: dict[str, list[dict[str, float]]] = {"zoo": [], "open_clip": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.runs):
            for name, runs in found.items():
                runs.append(elsewhere(name, options.pairs, Path(folder, f"{name}.pt")))
        apart, share = difference(Path(folder, "zoo.pt"), Path(folder, "open_clip.pt"))
    figures: dict[str, float] = {}
    for name, runs in found.items():
        figures[f"{name}_seconds"] = statistics.median(run["seconds"] for run in runs)
        figures[f"{name}_gb"] = max(run["gb"] for run in runs)
    figures["max_grad_diff"] = apart
    figures["max_grad_diff_relative"] = share
    ratios = {
        "time": figures["open_clip_seconds"] / figures["zoo_seconds"],
        "memory": figures["open_clip_gb"] / figures["zoo_gb"],
    }
    for name in found:
        print(f"{name:<12}{figures[f'{name}_seconds']:8.2f} s{figures[f'{name}_gb']:8.3f} GB")
    print(f"{ratios['time']:.2f} times faster, 1/{ratios['memory']:.1f} of the memory above inputs")
    print(f"gradients differ by {apart:.1e} at most, {share:.1e} of the largest of their kind")
    if options.most_pairs:
        alone = elsewhere("zoo", options.most_pairs, None)
        figures[f"n{options.most_pairs}_seconds"] = alone["seconds"]
        figures[f"n{options.most_pairs}_gb"] = alone["gb"]
        print(f"{options.most_pairs} pairs: {alone['seconds']:.1f} s, {alone['gb']:.3f} GB")
    if options.json:
        rounded = {name: float(f"{value:.4g}") for name, value in figures.items()}
        ratios = {name: round(value, 2) for name, value in ratios.items()}
        print(json.dumps({"pairs": options.pairs, "dim": DIM, **rounded, "ratios": ratios}))


def elsewhere(name: str, pairs: int, out: Path | None) -> dict[str, float]:
    """One measurement in a process of its own."""
    command = [sys.executable, __file__, "--measure", name, "--pairs", str(pairs)]
    command += ["--out", str(out)] if out else []
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    return found


def measure(name: str, pairs: int, out: Path | None) -> None:
    import torch

    random = torch.Generator().manual_seed(0)

    def batch(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pairs that are like each other, made with no memory but their own."""
        images = torch.randn(count, DIM, generator=random)
        texts = torch.randn(count, DIM, generator=random).add_(images)
        for rows in (images, texts):
            rows.div_(rows.norm(dim=-1, keepdim=True))
        return images, texts

    loss = zoo_loss() if name == "zoo" else open_clip_loss()
    # What a first call loads and allocates once is none of the loss's memory.
    gradients(loss, batch(64))
    inputs = batch(pairs)
    before = resident_memory("VmRSS")
    start = time.perf_counter()
    found = gradients(loss, inputs)
    seconds = time.perf_counter() - start
    above = resident_memory("VmHWM") - before
    print(json.dumps({"seconds": seconds, "gb": above / GIGABYTE}))
    if out:
        torch.save(found, out)


def gradients(loss, inputs):
    """Of both batches and of the logarithm of the scale."""
    images, texts = (each.detach().requires_grad_() for each in inputs)
    value, scale = loss(images, texts)
    scale.grad = None
    value.backward()
    return [images.grad, texts.grad, scale.grad]


def zoo_loss():
    from zoo.losses.info_nce import InfoNCELoss

    loss = InfoNCELoss()
    return lambda images, texts: (loss(images, texts), loss.logit_scale)


def open_clip_loss():
    import torch
    from open_clip import ClipLoss

    loss = ClipLoss()
    scale = torch.nn.Parameter(torch.tensor(1 / 0.07).log())
    return lambda images, texts: (loss(images, texts, scale.exp()), scale)


def resident_memory(name: str) -> int:
    """The bytes that this process has in memory now (`VmRSS`), or had at most (`VmHWM`).

    Not from getrusage, whose peak is the parent's too.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [each for each in lines if each.startswith(name)]
    return int(line.split()[1]) * 1024


def difference(one: Path, other: Path) -> tuple[float, float]:
    """The largest difference, and the largest in shares of its tensor's largest number."""
    import torch

    apart, share = 0.0, 0.0
    for mine, theirs in zip(torch.load(one), torch.load(other), strict=True):
        gap = (mine - theirs).abs().max().item()
        apart, share = max(apart, gap), max(share, gap / theirs.abs().max().item())
    return apart, share


if __name__ == "__main__":
    main()
