"""`zoo plugins`: what was found, what each offers, what failed and why."""

from __future__ import annotations

from zoo.cli.console import out, print_json, table
from zoo.cli.options import AsJson
from zoo.registry import Catalog, Origin, load_catalog
from zoo.registry.asking import LISTING_SECONDS

__all__ = ["plugins"]


def plugins(as_json: AsJson = False) -> None:
    """Show the installed plugins, what they offer, and what failed."""
    names = load_catalog(seconds=LISTING_SECONDS)
    if as_json:
        print_json(
            [
                {
                    "origin": origin.as_json(),
                    "offers": _offers(names, origin),
                    "failures": _failures(names, origin),
                }
                for origin in _origins(names)
            ]
        )
        return
    shown = table("plugin", "offers", "failed")
    for origin in _origins(names):
        failed = [f"FAILED {name}: {reason}" for name, reason in _failures(names, origin).items()]
        shown.add_row(str(origin), ", ".join(_offers(names, origin)), "\n".join(failed))
    console = out()
    console.print(shown if shown.rows else "no plugin is installed")


def _origins(names: Catalog) -> list[Origin]:
    found = dict.fromkeys(names.plugins)
    found |= {failure.origin: None for failure in names.failures}
    return sorted(found, key=str)


def _offers(names: Catalog, origin: Origin) -> list[str]:
    return [names.shown_name(each) for each in names.select() if each.origin == origin]


def _failures(names: Catalog, origin: Origin) -> dict[str, str]:
    reasons: dict[str, str] = {}
    for each in names.failures:
        if each.origin == origin:
            reasons[each.name] = "; ".join(filter(None, [reasons.get(each.name), each.reason]))
    return reasons
