"""The catalogue: every name known to this process, who offers it, and what failed."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from zoo.errors import (
    AmbiguousNameError,
    PluginError,
    RegistryError,
    UnknownNameError,
    suggestion,
)
from zoo.registry.component import KINDS, Component, Kind, Origin, as_kind, check_name, describe
from zoo.registry.layers import builtin_path, read_layer, user_path
from zoo.registry.plugins import Failure, components_of_hooks, discover, normalised

__all__ = ["Catalog", "Match", "available", "catalog", "load_catalog", "register"]


@dataclass(frozen=True)
class Match:
    """A name that was found: its component and, for a family, the rest of the name."""

    component: Component
    rest: str | None = None


@dataclass(frozen=True)
class Catalog:
    """Names to components, as one value. Build it with `load_catalog`."""

    components: Mapping[Kind, Mapping[str, tuple[Component, ...]]]
    """Per kind and name, the components that claim it; more than one makes the name ambiguous."""
    failures: tuple[Failure, ...] = ()
    plugins: tuple[Origin, ...] = ()

    def find(self, kind: Kind, name: str) -> Match:
        """The component behind `name`, `family/rest` or `distribution/name`.

        Raises:
            UnknownNameError: nothing has this name; the message has the nearest one.
            AmbiguousNameError: two distributions have it.
        """
        claims = self._claims(kind, name)
        if len(claims) == 1:
            return claims[0]
        if claims:
            ways = sorted(f"{claim.component.origin.name}/{name}" for claim in claims)
            raise AmbiguousNameError(
                f"the {describe(kind)} name {name!r} is offered by several distributions; "
                f"write {' or '.join(repr(way) for way in ways)}"
            )
        raise UnknownNameError(self._unknown(kind, name))

    def select(self, kind: Kind | None = None, pattern: str | None = None) -> list[Component]:
        """All components of a kind whose name, bare or with its distribution, fits a wildcard."""
        return [
            component
            for each in KINDS
            if kind in (None, each)
            for name, claims in sorted(self.components.get(each, {}).items())
            for component in claims
            if pattern is None
            or fnmatchcase(name, pattern)
            or fnmatchcase(f"{component.origin.name}/{name}", pattern)
        ]

    def shown_name(self, component: Component) -> str:
        """The shortest name that finds this component: bare, or with its distribution."""
        claims = self.components[component.kind][component.name]
        return (
            component.name
            if _winners(claims) == (component,)
            else f"{component.origin.name}/{component.name}"
        )

    def _claims(self, kind: Kind, name: str) -> list[Match]:
        table = self.components.get(kind, {})
        exact = _winners(table.get(name, ()))
        if exact:
            return [Match(component) for component in exact]
        prefix, slash, rest = name.partition("/")
        if not slash or not rest or rest == "*":
            return []
        family = _winners(table.get(f"{prefix}/*", ()))
        if family:
            return [Match(component, rest) for component in family]
        found = []
        for component in (each for claims in table.values() for each in claims):
            if normalised(component.origin.name) != normalised(prefix):
                continue
            if component.name == rest:
                found.append(Match(component))
            elif component.is_family and rest.startswith(component.name[:-1]):
                found.append(Match(component, rest[len(component.name) - 1 :]))
        return found

    def _unknown(self, kind: Kind, name: str) -> str:
        table = self.components.get(kind, {})
        families = [known[:-1] + "NAME" for known in table if known.endswith("/*")]
        message = f"unknown {describe(kind)} {name!r}."
        near = suggestion(name, [known for known in table if not known.endswith("/*")])
        if near:
            message += near
        elif not table:
            message += f" No {describe(kind)} is installed."
        else:
            message += f" See: python -m zoo.list --kind {kind}"
        if families and "/" in name:
            message += f" The families are {', '.join(sorted(families))}."
        if self.failures:
            failed = sorted({str(failure.origin) for failure in self.failures})
            message += f" ({', '.join(failed)} failed to load; see: zoo plugins)"
        return message


def _winners(claims: tuple[Component, ...]) -> tuple[Component, ...]:
    """Who answers to the bare name: the user's choice, else the built-in, else every plugin.

    The others still answer to `distribution/name`.
    """
    return claims if not claims or claims[0].origin.layer == "plugin" else claims[:1]


def available(kind: str | None = None, pattern: str | None = None) -> list[str]:
    """The names that can be built, sorted; `kind` and a wildcard `pattern` narrow them.

    Families show as `name/*`. No component is imported.
    """
    names = catalog()
    chosen = names.select(as_kind(kind) if kind is not None else None, pattern)
    return sorted({names.shown_name(component) for component in chosen})


def register(kind: str, name: str, factory: Callable[..., Any], *, summary: str = "") -> None:
    """Add a component for this session, as in a notebook.

    A model that depends on it can be saved, and says so: it opens again only after the same call.

    Raises:
        RegistryError: the name is taken or not legal, or the factory cannot be called.
    """
    which = as_kind(kind)
    if which == "models":
        raise RegistryError(
            "a named model is data: put it in zoo.toml, or pass a spec to zoo.build"
        )
    check_name(which, name, "zoo.register")
    if not callable(factory):
        raise RegistryError(f"zoo.register: {factory!r} cannot be called; give the factory itself")
    taken = catalog().components[which].get(name)
    if taken:
        raise RegistryError(
            f"zoo.register: the {describe(which)} name {name!r} is taken by {taken[0].origin}"
        )
    origin = Origin("session", f"session ({factory.__module__})")
    _session.append(Component(which, name, origin, summary=summary, factory=factory))
    catalog.cache_clear()


_session: list[Component] = []


@functools.cache
def catalog() -> Catalog:
    """The catalogue of this process, read once; `catalog.cache_clear()` makes the next call read anew."""
    return load_catalog()


def load_catalog() -> Catalog:
    """Read all layers: built-in, plugins, the user's file, the session. Later layers win.

    Raises:
        RegistryError: the built-in or the user's file is not valid.
        PluginError: a plugin failed, and `ZOO_STRICT=1` is set.
    """
    table: dict[Kind, dict[str, tuple[Component, ...]]] = {kind: {} for kind in KINDS}
    for component in _builtin():
        table[component.kind][component.name] = (component,)

    found, failures, plugins = discover()
    for component in found:
        claims = table[component.kind].get(component.name, ())
        if claims and claims[0].origin.layer == "built-in":
            failures.append(
                Failure(
                    f"zoo.{component.kind}",
                    component.name,
                    component.origin,
                    f"the {describe(component.kind)} name {component.name!r} is built in and cannot "
                    f"be replaced by a plugin; it answers to '{component.origin.name}/{component.name}'",
                )
            )
        table[component.kind][component.name] = (*claims, component)
    if failures and os.environ.get("ZOO_STRICT", "0") not in ("", "0"):
        raise PluginError("ZOO_STRICT is set, and\n" + "\n".join(_told(failures)))

    for component, override in _user():
        claims = table[component.kind].get(component.name, ())
        if claims and not override:
            raise RegistryError(
                f"{component.origin}: the {describe(component.kind)} name {component.name!r} is taken "
                f"by {claims[0].origin}; to replace it, say override = true"
            )
        if override and not claims:
            raise RegistryError(
                f"{component.origin}: [{component.kind}.{component.name}] says override = true, and "
                f"there is nothing to replace.{suggestion(component.name, table[component.kind])}"
            )
        if claims:
            component = replace(component, overrides=claims[0].origin)
        table[component.kind][component.name] = (component, *claims)

    for component in _session:
        table[component.kind][component.name] = (component,)
    return Catalog(table, tuple(failures), tuple(plugins))


def _builtin() -> Iterable[Component]:
    try:
        origin = Origin("built-in", "clip-zoo", version("clip-zoo"))
    except PackageNotFoundError:
        origin = Origin("built-in", "clip-zoo")
    for component, _ in read_layer(builtin_path(), origin):
        yield component
    for module in ("zoo.heads", "zoo.losses"):
        yield from components_of_hooks(importlib.import_module(module), origin)


def _user() -> list[tuple[Component, bool]]:
    path = user_path()
    return [] if path is None else read_layer(path, Origin("user file", str(path)))


def _told(failures: Iterable[Failure]) -> list[str]:
    return [f"  {failure.origin} ({failure.name}): {failure.reason}" for failure in failures]
