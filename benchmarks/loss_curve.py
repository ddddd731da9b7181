"""The loss of one training in bfloat16 and in fp32, step by step: do they part by more than noise?

EfficientNet-Lite0 with ImageNet's weights, all of it training under a GELU head, against MiniLM's
frozen text tower, on OpenMoji. Runs of one seed draw the same pairs and start from the same weights, so
that what parts them is precision alone. How far fp32 runs of different seeds lie apart is the noise.
Curves are compared as means over twenty steps.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import zoo
from zoo.data.pairs import Pair, load_dataset
from zoo.recipe import Precision, Recipe
from zoo.report.plots import Line, line_chart
from zoo.training.execution import set_seed
from zoo.training.loop import train

WINDOW = 20
"""Steps that are averaged before curves are compared."""
STYLE = """
svg { background: #fff; font: 13px sans-serif; } text { fill: #59616b; }
.grid { stroke: #d8dde3; fill: none; } .line { stroke-width: 1.5; fill: none; }
.s0 .line { stroke: #1f66b0; } .s1 .line, .s2 .line { stroke: #a3acb6; } .s3 .line { stroke: #b4490b; }
"""


def losses(pairs: list[Pair], size: int, recipe: Recipe) -> list[float]:
    """The loss of each step of one run."""
    set_seed(recipe.seed)
    head = {"name": "mlp-gelu", "args": {"hidden_dim": 1024, "normalize": True, "dropout": 0.5}}
    changes = {"image.head": head, "text.head": "identity", "image.train": "full"}
    model = zoo.build("starter-clip", overrides={"trained": "none", **changes})
    encoder = model.image_encoder.encoder
    encoder.preprocess = dataclasses.replace(encoder.preprocess, resize=size, crop=(size, size))
    found: list[float] = []
    train(model, pairs, recipe, on_step=lambda step: found.append(step.outcome.loss))
    return found


def smooth(curve: list[float]) -> NDArray[np.float64]:
    return np.convolve(curve, np.full(WINDOW, 1 / WINDOW), mode="valid")


def plot(curves: dict[str, list[list[float]]], file: Path) -> None:
    """The smoothed curves as one SVG that needs no page around it."""
    names = ["fp32", "fp32, another seed", "fp32, a third seed", "bfloat16, seed of the first"]
    drawn = [smooth(each) for each in [*curves["fp32"][:3], curves["bf16"][0]]]
    lines = [
        Line(name, list(enumerate(curve.tolist(), WINDOW)))
        for name, curve in zip(names, drawn, strict=True)
    ]
    chart = str(line_chart("Loss in fp32 and in bfloat16", lines, x="step"))
    (svg,) = re.findall("<svg.*</svg>", chart, flags=re.DOTALL)
    legend = "".join(
        f'<g class="s{number}"><path class="line" d="M235 {y}h24" /><text x="265" y="{y + 4}">{line.name}'
        "</text></g>"
        for number, line in enumerate(lines)
        for y in [24 + 18 * number]
    )
    svg = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    svg = svg.replace("<title>", f"<style>{STYLE}</style><title>", 1)
    file.write_text(svg.replace("</svg>", f"{legend}</svg>") + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224, help="pixels")
    parser.add_argument(
        "--seeds", type=int, default=3, help="runs in fp32; bfloat16 takes the first"
    )
    parser.add_argument("--keep", type=Path, help="a JSON file for the curves")
    parser.add_argument(
        "--plot", type=Path, help="an SVG file; with --keep's file there, of its curves"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.plot and options.keep and options.keep.is_file():
        plot(json.loads(options.keep.read_text())["curves"], options.plot)
        return
    pairs = list(load_dataset("openmoji").split("train"))

    def run(seed: int, precision: Precision) -> list[float]:
        recipe = Recipe(
            steps=options.steps, batch_size=options.batch, seed=seed, precision=precision, workers=0
        )
        curve = losses(pairs, options.size, recipe.filled(heads_only=False))
        print(f"{precision} seed {seed}: {curve[0]:.3f} to {smooth(curve)[-1]:.3f}", flush=True)
        return curve

    fp32 = [run(seed, "fp32") for seed in range(options.seeds)]
    bf16 = run(0, "bf16")
    smoothed = np.stack([smooth(each) for each in fp32])
    apart = np.abs(smooth(bf16) - smoothed[0])
    noise = np.abs(smoothed[1:] - smoothed[0]).mean(axis=0)
    figures = {
        "steps": options.steps,
        "size": options.size,
        "batch": options.batch,
        "bf16_apart_mean": float(apart.mean()),
        "bf16_apart_max": float(apart.max()),
        "seeds_apart_mean": float(noise.mean()),
        "seeds_apart_max": float(noise.max()),
    }
    for name, value in figures.items():
        print(f"{name:<18}{value:10.4f}")
    curves = {"fp32": fp32, "bf16": [bf16]}
    if options.plot:
        plot(curves, options.plot)
    if options.keep:
        rounded = {name: [[round(v, 5) for v in c] for c in each] for name, each in curves.items()}
        options.keep.write_text(json.dumps({**figures, "curves": rounded}) + "\n")
    if options.json:
        rounded_figures = {name: round(value, 5) for name, value in figures.items()}
        ratio = figures["seeds_apart_mean"] / figures["bf16_apart_mean"]
        print(json.dumps({**rounded_figures, "ratios": {"noise": round(ratio, 2)}}))


if __name__ == "__main__":
    main()
