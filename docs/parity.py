"""Writes docs/parity.md: each encoder family beside the library that it comes from.

Takes about two minutes, and works without a network. With `--json` it prints the figures instead.
The comparisons are those of tests/parity.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent

INTRODUCTION = """\
# Parity

What an encoder of the zoo gives, beside what the library that it comes from gives for the same weights
and inputs, in float32 on a CPU. `python docs/parity.py` runs the comparisons and writes this page;
`pytest tests/parity` asserts that no difference is above {tolerance:.0e}.

Weights are seeded, moved off their initial values, and saved where and as the library has its own
(torch hub's cache, the hub's cache, a folder of `save_pretrained`); zoo loads them by the way that
users take, and the library loads them without zoo. Where the real weights come with a pip package,
they are taken.

Made with {versions}.
"""
LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "tokenizers",
    "sentence-transformers",
)


@dataclass(frozen=True)
class Figures:
    """What a comparison found: how large what is compared is, and how far apart the two are."""

    size: str
    difference: float


@dataclass(frozen=True)
class Row:
    name: str
    beside: str
    run: Callable[[], Figures]


@dataclass(frozen=True)
class Part:
    """One table."""

    title: str
    said: str
    header: tuple[str, str, str, str]
    rows: list[Row]


def parts() -> list[Part]:
    """Every comparison, none of them run."""
    return [_torchvision(), _timm(), _text(), _tokens(), _pictures()]


_FEATURES = ("beside", "largest feature", "largest difference")


def _row(name: str, beside: str, compare: Callable[..., Any], *arguments: Any) -> Row:
    """Of features. Arguments that are functions are called when the comparison runs."""

    def run() -> Figures:
        from parity.compared import assert_same

        found = compare(*(each() if callable(each) else each for each in arguments))
        assert_same(found)
        return Figures(f"{found.largest:.3g}", found.difference)

    return Row(name, beside, run)


def _torchvision() -> Part:
    from parity.images import TORCHVISION, torchvision_features
    from torchvision import models

    rows = []
    for architecture, (layer, _) in TORCHVISION.items():
        family = models.get_model_builder(architecture).__module__.rpartition(".")[2]
        name, beside = f"{family}: `{architecture}`", f"the input of `{layer}`"
        rows.append(_row(name, beside, torchvision_features, architecture))
    said = "Every family of classifiers, and what its own last layer sees of two pictures."
    return Part("torchvision", said, ("family", *_FEATURES), rows)


def _timm() -> Part:
    from parity.images import RESAMPLED, TIMM, timm_features

    beside = "`forward_head(pre_logits=True)`"
    rows = [
        _row(f"{kind}: `{name}`", beside, timm_features, name)
        for kind, names in TIMM.items()
        for name in names
    ]
    for name, side in RESAMPLED.items():
        rows.append(_row(f"at {side} px: `{name}`", beside, timm_features, name, side))
    said = (
        "Architectures with their own pooling and norms, and two pictures. At another size than\n"
    )
    said += "the weights', positions are resampled."
    return Part("timm", said, ("architecture", *_FEATURES), rows)


def _text() -> Part:
    from parity import texts

    from standins import clip_repository

    rows = []
    for family, (whole, _, _) in texts.MEANS.items():
        beside = f"`{whole}`, and the mean of the tokens"
        rows.append(_row(family, beside, texts.mean_of_tokens, family, partial(_folder, family)))
    for family, (whole, _, _) in texts.DUAL.items():
        beside = f"`{whole}.get_text_features`"
        rows.append(_row(family, beside, texts.dual_encoder, family, partial(_folder, family)))
    for family, (end, _) in texts.CLIPS.items():
        name, beside = f"{family}, end token {end}", "`CLIPTextModelWithProjection`"
        rows.append(
            _row(name, beside, texts.clip_with_projection, family, partial(_folder, family))
        )
    encode = "`SentenceTransformer.encode`"
    for family in texts.SAVED:
        for mode in texts.POOLINGS:
            name = f"{family} as sentence-transformers saves it, pooling {mode}"
            saved = Path(os.environ["HF_HOME"], "saved", f"{family}-{mode}")
            compare = texts.sentence_transformers_folder
            rows.append(_row(name, encode, compare, family, mode, partial(_folder, family), saved))
    name, beside = (
        "`clip-vit-b32`, full size, a `.bin`",
        "`CLIPModel.get_text_features`, normalised",
    )
    hub = Path(os.environ["HF_HOME"], "hub")
    rows.append(_row(name, beside, texts.clip_at_full_size, partial(clip_repository, hub)))
    rows.append(_row("`minilm-l6` of zoo-starter, real weights", encode, texts.minilm))
    said = (
        "Small models of the real classes, except for the last two; five texts, one of them empty\n"
    )
    said += "and one far too long, in one batch by zoo."
    return Part("Text encoders", said, ("family", *_FEATURES), rows)


def _tokens() -> Part:
    from parity.tokens import ODD, TOKENIZERS, tokens_of_odd_texts

    def differ(family: str) -> Figures:
        pairs = list(tokens_of_odd_texts(family, _folder(family)))
        wrong = [title for title, ours, theirs in pairs if ours != theirs]
        assert not wrong, f"{family}: {wrong}"
        return Figures(str(len(pairs)), len(wrong))

    rows = [
        Row(family, f"`{name}`, at most {limit} tokens", partial(differ, family))
        for family, (name, limit) in TOKENIZERS.items()
    ]
    said = f"Ids of odd texts:\n{', '.join(ODD)}."
    return Part("Tokenizers", said, ("family", "beside", "texts", "that differ"), rows)


def _pictures() -> Part:
    from parity.pictures import PICTURES, timm_ways, torchvision_ways

    def pixels(ways: Callable[[], Iterator[Any]]) -> Figures:
        count, largest = 0, 0.0
        for way in ways():
            count += 1
            for ours, theirs in way.pixels():
                largest = max(largest, float((ours - theirs).abs().max()))
        return Figures(str(count), largest)

    rows = [
        Row("torchvision", "`weights.transforms()`", partial(pixels, torchvision_ways)),
        Row("timm", "`create_transform`", partial(pixels, timm_ways)),
    ]
    said = "Every way of preprocessing that weights of these libraries have, pixel for pixel on\n"
    said += f"{len(PICTURES)} pictures. Zoo refuses weights that want timm's crop mode `border`."
    header = ("library", "beside", "ways", "largest difference")
    return Part("Preprocessing", said, header, rows)


@cache
def _folder(family: str) -> Path:
    from parity.text_models import write_text_model

    folder = Path(os.environ["HF_HOME"], "text-models", family)
    folder.mkdir(parents=True)
    write_text_model(family, folder)
    return folder


def line(row: Row, figures: Figures) -> str:
    difference = f"{figures.difference:.0e}" if figures.difference else "0"
    return f"| {row.name} | {row.beside} | {figures.size} | {difference} |"


def page(found: list[tuple[Part, list[Figures]]]) -> str:
    from parity.compared import TOLERANCE

    used = ", ".join(f"{each} {version(each)}" for each in LIBRARIES)
    text = INTRODUCTION.format(tolerance=TOLERANCE, versions=used)
    for part, figures in found:
        lines = [f"| {' | '.join(part.header)} |", "|---|---|--:|--:|"]
        lines += [line(*each) for each in zip(part.rows, figures, strict=True)]
        text += "\n".join([f"\n## {part.title}\n", part.said, "", *lines, ""])
    return text


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="zoo-parity-") as home:
        # Read once, when the libraries are first imported.
        os.environ |= {"HF_HOME": home, "HF_HUB_OFFLINE": "1", "TORCH_HOME": f"{home}/torch"}
        os.environ["ZOO_PLUGINS"] = ""
        sys.path[0] = str(ROOT / "tests")  # in place of this folder, where `parity` is this file
        found = []
        for part in parts():
            figures = []
            for row in part.rows:
                figures.append(row.run())
                print(line(row, figures[-1]), file=sys.stderr)
            found.append((part, figures))
    if "--json" in sys.argv:
        rows = [
            {"part": part.title, "name": row.name, "beside": row.beside, **asdict(figures)}
            for part, all_figures in found
            for row, figures in zip(part.rows, all_figures, strict=True)
        ]
        print(json.dumps({"python": platform.python_version(), "rows": rows}))
        return
    path = ROOT / "docs" / "parity.md"
    path.write_text(page(found), encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
