"""The model card: `README.md` of a saved model, with the metadata that the hub reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.clip import CLIP

__all__ = ["CARD", "card"]

CARD = "README.md"

_LOAD = """```python
import zoo

model = zoo.load({folder})
```"""


def card(model: CLIP, manifest: Mapping[str, Any], folder: str) -> str:
    """A page of Markdown: what the model is, how to load it, and where each part came from.

    Args:
        manifest: as it goes to `zoo.json`; its `licence`, `about` (sections by title) and
            `training` are told, if there.
        folder: the folder's name, which the model's stands in for if it has none.
    """
    spec = manifest["spec"]
    title = spec["name"] or folder
    lines = [
        "---",
        *_metadata(manifest),
        "---",
        "",
        f"# {_plain(title)}",
        "",
        _plain(spec["summary"]) or "An image-text model.",
        "",
        _LOAD.format(folder=json.dumps(folder, ensure_ascii=False)),
        "",
        *_needs(manifest),
        "## Parts",
        "",
        "| part | component | from | weights | trainable | frozen |",
        "|---|---|---|---|---:|---:|",
        *_rows(model, manifest),
        "",
        f"Embeddings have {spec['embedding_dim']} dimensions and unit norm.",
        *_about(manifest.get("about")),
        *_training(manifest.get("training")),
    ]
    return "\n".join(lines) + "\n"


def _metadata(manifest: Mapping[str, Any]) -> list[str]:
    """YAML, of which JSON strings are a part."""
    lines = ["library_name: clip-zoo", "pipeline_tag: zero-shot-image-classification"]
    licence = manifest.get("licence")
    if isinstance(licence, str):
        lines.append(f"license: {json.dumps(licence.lower())}")
    lines += ["tags:", "- clip-zoo", "- clip", "- image-text"]
    bases = [
        weights["source"]
        for entry in manifest["provenance"].values()
        if (weights := entry.get("weights"))
        and weights.get("revision")
        and re.fullmatch(r"[\w.-]+/[\w.-]+", weights["source"])
    ]
    if bases:
        lines += ["base_model:", *(f"- {json.dumps(each)}" for each in dict.fromkeys(bases))]
    return lines


def _needs(manifest: Mapping[str, Any]) -> list[str]:
    origins = [entry["origin"] for entry in manifest["provenance"].values()]
    plugins = dict.fromkeys(each["name"] for each in origins if each["layer"] == "plugin")
    zoo = (
        "'clip-zoo[lora]'"
        if any(path.endswith(".adapters") for path in manifest["parts"])
        else "clip-zoo"
    )
    lines = [f"Needs: `pip install {' '.join([zoo, *plugins])}`."]
    away = [path for path, part in manifest["parts"].items() if not part["stored"]]
    if away:
        lines.append(
            f"The weights of {' and '.join(away)} are not in this folder: they are fetched from their "
            "origin when the model is loaded, and compared with the hash in `zoo.json`."
        )
    return [*lines, ""]


def _rows(model: CLIP, manifest: Mapping[str, Any]) -> list[str]:
    counts = model.parameter_counts()
    rows = []
    for path, entry in manifest["provenance"].items():
        origin, weights = entry["origin"], entry.get("weights")
        side, _, part = path.partition(".")
        ref = manifest["spec"][side][part] if part else manifest["spec"][side]
        come_from = ""
        if weights:
            pinned = f" @ {weights['revision']}" if weights.get("revision") else ""
            come_from = f"{weights['source']}{pinned}, {weights['file']}"
        made_by = " ".join(filter(None, [origin["name"], origin["version"]]))
        trainable, frozen = counts.get(path, (0, 0)) if part else _of_loss(model)
        cells = [path, f"`{ref['name']}`", made_by, come_from, f"{trainable:,}", f"{frozen:,}"]
        rows.append(f"| {' | '.join(_plain(cell) for cell in cells)} |")
    return rows


def _of_loss(model: CLIP) -> tuple[int, int]:
    parameters = list(model.loss.parameters()) if model.loss is not None else []
    trainable = sum(each.numel() for each in parameters if each.requires_grad)
    return trainable, sum(each.numel() for each in parameters) - trainable


def _about(sections: object) -> list[str]:
    """Sections that whoever saved it wrote, such as intended use and limits."""
    if not isinstance(sections, Mapping):
        return []
    return [
        line
        for title, text in sections.items()
        for line in ("", f"## {_plain(title)}", "", _plain(text))
    ]


def _training(result: object) -> list[str]:
    """What `zoo train` measured, where the shape is the one it writes."""
    if not isinstance(result, Mapping):
        return []
    lines = ["", "## Training", ""]
    data = result.get("data")
    if isinstance(data, Mapping):
        lines += [
            f"On {_plain(data.get('name'))}: {_plain(data.get('attribution'))}; "
            f"licence {_plain(data.get('licence'))}.",
            "",
        ]
    lines += _measured(result.get("intervals"))
    shown = {key: value for key, value in result.items() if key in ("recipe", "validation", "test")}
    return [*lines, "```json", json.dumps(shown, indent=2, ensure_ascii=False), "```"]


def _measured(intervals: object) -> list[str]:
    """A row for each metric on the test split, where whoever saved it has intervals."""
    if not isinstance(intervals, Mapping):
        return []
    rows = [
        f"| {_plain(direction).replace('_', ' ')} | {_plain(metric)} | {found['value']:.1%} "
        f"| {found['low']:.1%} to {found['high']:.1%} |"
        for direction, metrics in intervals.items()
        for metric, found in metrics.items()
    ]
    title = "| on the test split | metric | value | 95 % interval |"
    return [title, "|---|---|---:|---|", *rows, ""]


def _plain(text: object) -> str:
    """Text in a line or a table cell of Markdown."""
    return " ".join(str(text).split()).replace("|", r"\|")
