"""How models trained on OpenMoji do on the same concepts in other artists' drawings.

The drawings are icon sets of Iconify, which are compared with and never trained on:

    npm pack @iconify-json/twemoji@1.2.5 @iconify-json/noto@1.2.9   # CC BY 4.0; Apache 2.0
    for each in iconify-json-*.tgz; do mkdir -p sets/$each && tar xzf $each -C sets/$each; done
    python benchmarks/styles.py starter-clip --sets sets/*/package --split test

Each set is asked for the concepts that it draws, one picture a concept, among their names. With
`--train drawn drawn,flat` heads of starter-clip that saw these styles of openmoji-styles are compared too.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import resvg_py

import zoo
from zoo.assembly import plan
from zoo.clip import CLIP
from zoo.data.pairs import Pair, load_dataset, one_per_concept
from zoo.evaluation.judge import Judge
from zoo.training.execution import set_seed
from zoo.training.loop import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", help="names, or folders of saved models")
    parser.add_argument("--train", nargs="*", default=[], metavar="STYLES", help="drawn,flat …")
    parser.add_argument("--sets", nargs="*", type=Path, default=[], help="unpacked icon sets")
    parser.add_argument("--split", default="validation", help="of openmoji")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    pairs = one_per_concept(load_dataset("openmoji").split(options.split))
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        drawings: dict[str, Sequence[Pair]] = {"openmoji": pairs}
        for each in options.sets:
            info = json.loads((each / "info.json").read_text())
            print(f"{info['name']}: {info['author']['name']}, {info['license']['title']}")
            drawings[info["prefix"]] = redrawn(pairs, each, Path(folder, info["prefix"]))
        for name in (*options.models, *options.train):
            if name in options.train:
                model = trained_on(name.split(","))
            else:
                saved = Path(name, "zoo.json").is_file()
                model = zoo.load(name) if saved else zoo.build(name)
            figures[name] = {style: judged(model, drawn) for style, drawn in drawings.items()}
            for style, found in figures[name].items():
                low, high = found["interval"]
                print(
                    f"{name:<24} {style:<10} {found['recall@1']:6.1%}  ({low:.1%} to {high:.1%})  "
                    f"recall@5 {found['recall@5']:.1%}, of {found['concepts']} {options.split} concepts"
                )
    if options.json:
        print(json.dumps({"split": options.split, "models": figures}))


def trained_on(styles: Sequence[str]) -> CLIP:
    """starter-clip with a head that saw only these styles of the training split."""
    ends = tuple(f"-{style}.png" for style in styles)
    train_split = load_dataset("openmoji-styles").split("train")
    pairs = [pair for pair in train_split if str(pair.picture).endswith(ends)]
    set_seed(0)
    model = plan("starter-clip").fresh().build()
    train(model, pairs)
    return model


def judged(model: CLIP, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Recall from image to text, with its 95 % interval over concepts."""
    found = Judge(model, pairs).retrieval().image_to_text.estimates([1, 5])
    first, fifth = found["recall@1"], found["recall@5"]
    return {
        "concepts": len(pairs),
        "recall@1": first.value,
        "interval": [first.low, first.high],
        "recall@5": fifth.value,
    }


def redrawn(pairs: Sequence[Pair], icons: Path, folder: Path) -> list[Pair]:
    """The same concepts and captions with an icon set's pictures, where it has one."""
    folder.mkdir()
    data = json.loads((icons / "icons.json").read_text())
    names = {
        code.lower().replace("-fe0f", ""): name
        for code, name in json.loads((icons / "chars.json").read_text()).items()
    }
    found = []
    for pair in pairs:
        stem = Path(str(pair.picture)).stem
        name = names.get(stem.lower().replace("-fe0f", ""), "")
        name = data.get("aliases", {}).get(name, {}).get("parent", name)
        if name not in data["icons"]:
            continue
        icon = {"width": data.get("width", 16), "height": data.get("height", 16)}
        icon |= {"left": 0, "top": 0, **data["icons"][name]}
        box = f"{icon['left']} {icon['top']} {icon['width']} {icon['height']}"
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{box}" width="256" height="256">{icon["body"]}</svg>'
        )
        path = folder / f"{stem}.png"
        png = resvg_py.svg_to_bytes(
            svg_string=svg, background="#ffffff", width=256, height=256, skip_system_fonts=True
        )
        path.write_bytes(bytes(png))
        found.append(Pair(path, pair.captions, pair.concept))
    return found


if __name__ == "__main__":
    main()
