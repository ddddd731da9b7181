"""What `zoo list` and `python -m zoo.list` print. Imports no more than it needs, to be quick."""

from __future__ import annotations

import io
import sys

from zoo.cli.console import out, print_json, table
from zoo.registry import KINDS, Catalog, Component, as_kind, load_catalog
from zoo.registry.asking import LISTING_SECONDS

__all__ = ["KIND_HELP", "PATTERN_HELP", "STRICT_HELP", "print_list"]

PATTERN_HELP = "A wildcard such as 'resnet*', for names or dist/name."
KIND_HELP = f"Only one kind: {', '.join(KINDS)}."
STRICT_HELP = "Exit with 1 if a plugin failed."


def print_list(
    pattern: str | None, kind: str | None, *, as_json: bool = False, strict: bool = False
) -> int:
    """Print names with their origins, importing none of them; the exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # what plugins say of themselves fits any terminal
        if as_json:
            sys.stdout.reconfigure(encoding="utf-8")
        else:
            sys.stdout.reconfigure(errors="backslashreplace")
    names = load_catalog(seconds=LISTING_SECONDS)
    chosen = names.select(as_kind(kind) if kind else None, pattern)
    if as_json:
        failures = [
            {"name": each.name, "origin": each.origin.as_json(), "reason": each.reason}
            for each in names.failures
        ]
        print_json({"components": [_entry(names, each) for each in chosen], "failures": failures})
    else:
        _print(names, chosen)
    return int(strict and bool(names.failures))


def _print(names: Catalog, chosen: list[Component]) -> None:
    console = out()
    for kind in KINDS:
        rows = [component for component in chosen if component.kind == kind]
        if not rows:
            continue
        shown = table(kind.replace("_", " "), "origin", "summary")
        for component in rows:
            replaced = f" (replaces {component.overrides})" if component.overrides else ""
            shown.add_row(
                names.shown_name(component),
                f"{component.origin}{replaced}",
                "\n".join([component.summary or component.target or "", *_measured(component)]),
            )
        console.print(shown)
        console.print()
    for failure in names.failures:  # a line each, whatever its length, so that grep finds all of it
        line = f"FAILED  {failure.origin}  {failure.name}: {failure.reason}"
        console.print(line, soft_wrap=True)
    if not chosen:
        console.print("nothing has such a name")


def _measured(component: Component) -> list[str]:
    lines = []
    for name, (value, *ends) in component.metrics.items():
        interval = f" ({ends[0]:.1%} to {ends[1]:.1%})" if ends else ""
        lines.append(f"{name}: {value:.1%}{interval}")
    return lines


def _entry(names: Catalog, component: Component) -> dict[str, object]:
    return {
        "kind": component.kind,
        "name": names.shown_name(component),
        "summary": component.summary,
        "origin": component.origin.as_json(),
        "target": component.target,
        "use": component.use,
        "trained": component.trained is not None,
        "metrics": {name: list(values) for name, values in component.metrics.items()},
        "replaces": component.overrides.as_json() if component.overrides else None,
    }
