"""Writes the generated parts of README and docs. `--check` only says whether they are up to date."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Callable
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


def hooks_text() -> str:
    """Each hook specification: its signature and docstring."""
    return "\n\n".join(_definitions("zoo/registry/hookspecs.py", ast.FunctionDef))


def contracts_text() -> str:
    """Each contract: attributes and methods."""
    return "\n\n".join(_definitions("zoo/protocols.py", ast.ClassDef, calls=False))


def factories_text() -> str:
    """How each factory is called."""
    return "\n\n".join(_definitions("zoo/protocols.py", ast.ClassDef, calls=True))


def checks_table() -> str:
    """Every conformance check, kind by kind."""
    from zoo.registry import KINDS, describe
    from zoo.testing import checks_of

    lines = ["| of | check | what holds |", "|---|---|---|"]
    for kind in ("plugin", *KINDS):
        title = "a whole plugin" if kind == "plugin" else describe(kind)
        for check in checks_of(kind):
            lines.append(f"| {title} | `{check.name}` | {check.what} |")
    return "\n".join(lines)


def _definitions(file: str, kind: type, calls: bool | None = None) -> list[str]:
    """Public definitions of a module as their signatures and docstrings, from its source."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    found = []
    for node in tree.body:
        if not isinstance(node, kind) or ast.get_docstring(node) is None:
            continue
        if isinstance(node, ast.FunctionDef):
            if not node.decorator_list:
                continue
            found.append(f"`{_signature(node)}`\n\n{_paragraphs(node)}")
            continue
        methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
        if calls is (methods[:1] != [] and methods[0].name == "__call__"):
            found.append(_contract(node, methods))
    return found


def _contract(node: ast.ClassDef, methods: list[ast.FunctionDef]) -> str:
    lines = [f"**{_words(node.name)}.** {_paragraphs(node)}", ""]
    for each, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(each, ast.AnnAssign):
            said = after.value.value if isinstance(after, ast.Expr) else ""
            lines.append(f"- `{ast.unparse(each)}`: {said}")
    for method in methods:
        doc = ast.get_docstring(method)
        lines.append(f"- `{_signature(method)}`" + (f": {' '.join(doc.split())}" if doc else ""))
    return "\n".join(lines)


def _signature(node: ast.FunctionDef) -> str:
    arguments = ast.unparse(node.args).removeprefix("self, ").removeprefix("self")
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    name = "factory" if node.name == "__call__" else node.name
    return f"{name}({arguments}){returns}".replace("'", '"')


def _paragraphs(node: ast.FunctionDef | ast.ClassDef) -> str:
    return re.sub(r"(?<!\n)\n(?!\n)", " ", ast.get_docstring(node) or "")


def _words(name: str) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower().split()
    if words[0] == "optional":
        words = [*(words[1:]), "(optional)"]
    return " ".join(words).capitalize()


def modes_table() -> str:
    """What trains in each train mode of the reference's towers."""
    from zoo.assembly import plan
    from zoo.cli.modes import counts_by_mode

    towers = counts_by_mode(plan("resnet50-clip", pretrained=False))
    lines = [
        "| mode | `image.encoder` trains | frozen | `text.encoder` trains | frozen |",
        "|---|--:|--:|--:|--:|",
    ]
    for mode in towers["image"]["modes"]:
        counts = [towers[side]["modes"][mode][f"{side}.encoder"] for side in towers]
        numbers = [f"{each[key]:,}" for each in counts for key in ("trainable", "frozen")]
        lines.append(f"| `{mode}` | {' | '.join(numbers)} |")
    return "\n".join(lines)


def leaderboard(part: str) -> Callable[[], str]:
    """A part of the committed results of the leaderboard's grid."""

    def made() -> str:
        from zoo.comparison import markdown
        from zoo.comparison.summary import Summary

        results = ROOT / "docs" / "leaderboard" / "results.json"
        make: Callable[[Summary], str] = getattr(markdown, part)
        return make(Summary.model_validate_json(results.read_bytes()))

    return made


PARTS = {
    ROOT / "README.md": {"names": names_table},
    ROOT / "docs" / "trainable-vs-frozen.md": {"parts": trainable_table, "modes": modes_table},
    ROOT / "docs" / "plugins" / "reference.md": {
        "hooks": hooks_text,
        "contracts": contracts_text,
        "factories": factories_text,
        "checks": checks_table,
    },
    ROOT / "docs" / "leaderboard.md": {
        part: leaderboard(part) for part in ("axes", "ranking", "method")
    },
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
