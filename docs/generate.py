"""Writes the generated parts of README and docs. `--check` only says whether they are up to date."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def names_table() -> str:
    """Every built-in name."""
    from zoo.registry import KINDS, describe, load_catalog

    lines = ["| kind | name | what it is |", "|---|---|---|"]
    catalog = load_catalog()
    for kind in KINDS:
        for component in catalog.select(kind):
            if component.origin.layer == "built-in":
                lines.append(f"| {describe(kind)} | `{component.name}` | {component.summary} |")
    return "\n".join(lines)


def trainable_table() -> str:
    """Which parts of the reference model train, from the model itself."""
    from zoo.assembly import plan

    model = plan("resnet50-clip").sketch()
    counts = model.parameter_counts()
    lines = ["| part | component | trains | frozen |", "|---|---|--:|--:|"]
    for path, (trainable, frozen) in counts.items():
        name = model.provenance[path]["name"]
        lines.append(f"| `{path}` | `{name}` | {trainable:,} | {frozen:,} |")
    trains = sum(count[0] for count in counts.values())
    frozen = sum(count[1] for count in counts.values())
    lines.append(f"| **total** | | **{trains:,}** | **{frozen:,}** |")
    lines.append(
        f"| **share** | | {trains / (trains + frozen):.0%} | {frozen / (trains + frozen):.0%} |"
    )
    return "\n".join(lines)


def modes_table() -> str:
    """What trains in each train mode of the reference's image tower."""
    from zoo.assembly import plan

    lines = ["| `image.train` | encoder trains | head trains |", "|---|--:|--:|"]
    for mode in ("full", "head", "frozen"):
        counts = plan("resnet50-clip", overrides={"image.train": mode}).sketch().parameter_counts()
        encoder, head = counts["image.encoder"][0], counts["image.head"][0]
        lines.append(f"| `{mode}` | {encoder:,} | {head:,} |")
    return "\n".join(lines)


PARTS = {
    ROOT / "README.md": {"names": names_table},
    ROOT / "docs" / "trainable-vs-frozen.md": {"parts": trainable_table, "modes": modes_table},
}


def generated(path: Path) -> str:
    """The text of a file with its generated parts made anew."""
    text = path.read_text(encoding="utf-8")
    for name, make in PARTS[path].items():
        begin, end = f"<!-- generated: {name} -->", "<!-- end -->"
        before, found, rest = text.partition(begin + "\n")
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise SystemExit(f"{path}: lacks {begin} … {end}")
        text = f"{before}{found}{make()}\n{closed}{after}"
    return text


def main() -> None:
    os.environ["ZOO_PLUGINS"] = ""
    stale = [path for path in PARTS if generated(path) != path.read_text(encoding="utf-8")]
    if "--check" in sys.argv:
        raise SystemExit(f"run docs/generate.py: {', '.join(map(str, stale))}" if stale else 0)
    for path in stale:
        path.write_text(generated(path), encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
