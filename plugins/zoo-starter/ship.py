"""Put a trained model into this distribution: `python ship.py RUN NAME`, then commit what changed.

RUN is the folder of a `zoo train` run of the model NAME on OpenMoji. The model goes to
`zoo_starter/NAME/` with its card, and its hash and metrics into `zoo_starter/models.toml`.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import zoo
from zoo.data.pairs import load_dataset
from zoo.evaluation.judge import Judge
from zoo.weights.read import sha256_of

PACKAGE = Path(__file__).parent / "zoo_starter"
LICENCE = "CC-BY-SA-4.0"
USE = (
    "Trying out zoo without a network, teaching, tests, and a start for training on drawings of one's "
    "own. It knows emojis: drawings of single things on a plain ground."
)
LEARNED = {
    "openmoji-styles": "some 1,800 concepts",
    "openmoji-icons": "some 6,000 concepts, two thirds of them icons in one colour,",
}
"""What it was trained on, by dataset."""
LIMITS = (
    "It was trained on {learned} and no photographs, in English. Of two pictures of people "
    "it cannot be trusted to tell gender, age or skin tone. Other artists' drawings of the same "
    "things it recognises far less often: plugins/zoo-starter/README.md has how often. It is no "
    "basis for decisions about anybody."
)
RIGHTS = (
    "The emojis it learned from are OpenMoji's, under CC BY-SA 4.0. Whether weights are an "
    "adaptation of what they were trained on is not settled; so that nobody depends on the answer, "
    "these weights are under CC BY-SA 4.0 too: name OpenMoji, and share what you make of them "
    "alike. EfficientNet-Lite0 (Google) and all-MiniLM-L6-v2 are under Apache 2.0."
)


def main(run: Path, name: str) -> None:
    model = zoo.load(run / "model")
    training = json.loads((run / "model" / "zoo.json").read_text())["training"]
    if training["recipe"]["evaluation"]["split"] in training["recipe"]["splits"]:
        training["validation"] = None
    pairs = load_dataset("openmoji").split("test")
    estimates = Judge(model, pairs, precision="fp32").retrieval().estimates([1, 5])
    training["intervals"] = {
        direction: {metric: found[metric].as_json() for metric in ("recall@1", "recall@5")}
        for direction, found in estimates.items()
    }
    training["folder"] = f"runs/{name}"
    limits = LIMITS.format(learned=LEARNED[training["data"]["name"]])
    folder = zoo.save(
        model,
        PACKAGE / name,
        half=training["recipe"]["keep"] == "fp16",
        overwrite=True,
        record={
            "licence": LICENCE,
            "training": training,
            "about": {"Intended use": USE, "Limits": limits, "Licence": RIGHTS},
        },
    )
    without_tokenizer(folder)
    size = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    record(name, sha256_of(folder / "model.safetensors"), training["intervals"], training["test"])
    print(f"{folder}: {size / 1e6:.1f} MB")


def without_tokenizer(folder: Path) -> None:
    """Take the text encoder's small files away: they are in the package that has its weights."""
    shutil.rmtree(folder / "text.encoder")
    manifest = folder / "zoo.json"
    said = json.loads(manifest.read_text())
    said["files"] = {}
    manifest.write_text(json.dumps(said, indent=2) + "\n")


def record(name: str, sha256: str, intervals: dict, test: dict) -> None:
    """Write hash and metrics into `models.toml`, over those that are there."""
    path = PACKAGE / "models.toml"
    text = path.read_text()
    for table in ("trained", "metrics"):
        text = re.sub(rf"\n\[models\.{name}\.{table}\]\n(?:[^\[\n][^\n]*\n)*", "", text)
    lines = [
        "",
        f"[models.{name}.trained]",
        f'file = "{name}/model.safetensors"',
        f'sha256 = "{sha256}"',
        "",
        f"[models.{name}.metrics]",
    ]
    for direction, metrics in intervals.items():
        first = metrics["recall@1"]
        numbers = ", ".join(f"{first[key]:.3f}" for key in ("value", "low", "high"))
        words = direction.replace("_", " ")
        lines.append(f'"recall@1 {words}, {test["count"]} unseen OpenMoji concepts" = [{numbers}]')
    path.write_text(text.rstrip("\n") + "\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
