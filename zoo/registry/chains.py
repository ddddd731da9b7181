"""Presets (`use`) and models (`base`) of plugins, followed to their end before anybody builds them."""

from __future__ import annotations

from collections.abc import Iterator

from zoo.errors import AmbiguousNameError, UnknownNameError
from zoo.registry.component import Component
from zoo.registry.names import Catalog

__all__ = ["unsound"]


def unsound(names: Catalog) -> Iterator[tuple[Component, str]]:
    """The presets and models of plugins that go round or end at a name nobody offers, and why.

    What goes through the user's own file is left to the moment it is built, for the file may
    change; so is an ambiguous name, which has an error of its own.
    """
    for table in names.components.values():
        for claims in table.values():
            for component in claims:
                if component.origin.layer == "plugin" and _below(component) is not None:
                    reason = _fault(names, component)
                    if reason:
                        yield component, reason


def _below(component: Component) -> str | None:
    base = component.spec.get("base") if component.spec else component.use
    return base if isinstance(base, str) else None


def _fault(names: Catalog, component: Component) -> str:
    way = [component]
    while True:
        below = _below(way[-1])
        if below is None or way[-1].origin.layer in ("user file", "session"):
            return ""
        try:
            found = names.find(component.kind, below).component
        except AmbiguousNameError:
            return ""
        except UnknownNameError as error:
            return f"[{component.kind}.{way[-1].name}] builds on {below!r}: {error}"
        if any(found is each for each in way):
            circle = " -> ".join(each.name for each in [*way, found])
            return f"[{component.kind}.{component.name}] goes round: {circle}"
        way.append(found)
