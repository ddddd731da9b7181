"""The catalogue of this process: its layers read and laid over one another, later ones on top."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from zoo.errors import PluginError, RegistryError, suggestion
from zoo.registry.component import (
    KINDS,
    Component,
    Failure,
    Kind,
    Origin,
    as_kind,
    check_name,
    describe,
    normalised,
)
from zoo.registry.hooks import components_of_hooks
from zoo.registry.names import Catalog, Match

__all__ = ["Catalog", "Match", "available", "catalog", "load_catalog", "register"]


def available(kind: str | None = None, pattern: str | None = None) -> list[str]:
    """The names that can be built, sorted; `kind` and a wildcard `pattern` narrow them.

    Families show as `name/*`, deprecated names do not show. No component is imported.
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


class _Once:
    """The catalogue of this process, read once; `catalog.cache_clear()` makes the next call read anew."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._names: Catalog | None = None

    def __call__(self) -> Catalog:
        with self._lock:  # of several threads one reads, and the others wait for it
            if self._names is None:
                self._names = load_catalog()
            return self._names

    def cache_clear(self) -> None:
        with self._lock:
            self._names = None


catalog = _Once()


def load_catalog(allow: Iterable[str] | None = None, *, seconds: float | None = None) -> Catalog:
    """Read all layers: built-in, plugins, the user's file, the session. Later layers win.

    Args:
        allow: the only plugins to read, by distribution, in place of what `$ZOO_PLUGINS` says.
        seconds: for all hook modules together, 30 if not given, so that none is missed on a slow
            disk. `$ZOO_PLUGIN_SECONDS` may say more.

    Raises:
        RegistryError: the built-in or the user's file is not valid, or `$ZOO_PLUGIN_SECONDS`.
        PluginError: a plugin failed, and `ZOO_STRICT=1` is set.
    """
    # Here, because hook modules import this package too, in a process that lists nothing.
    from zoo.registry.chains import unsound
    from zoo.registry.plugins import discover

    table: dict[Kind, dict[str, tuple[Component, ...]]] = {kind: {} for kind in KINDS}
    for component in _builtin():
        table[component.kind][component.name] = (component,)

    found, failures, plugins = discover(allow, seconds)
    for component in found:
        claims = table[component.kind].get(component.name, ())
        if claims and claims[0].origin.layer == "built-in":
            other = f"{component.origin.name}/{component.name}"
            reason = (
                f"the {describe(component.kind)} name {component.name!r} is built in and cannot be "
                f"replaced by a plugin; it answers to {other!r}"
            )
            failures.append(_failure(component, reason))
        family = table[component.kind].get(f"{normalised(component.origin.name)}/*", ())
        if family and family[0].origin.layer == "built-in":
            reason = (
                f"its distribution is called as the family {family[0].name!r}, which is built in and "
                f"has all names of that form; it answers to {component.name!r} alone"
            )
            failures.append(_failure(component, reason))
        table[component.kind][component.name] = (*claims, component)

    for component, override in _user():
        claims = table[component.kind].get(component.name, ())
        if claims and not override:
            raise RegistryError(
                f"{component.origin}: the {describe(component.kind)} name {component.name!r} is taken "
                f"by {claims[0].origin}; to replace it, say override = true"
            )
        # What it replaces may be a name of a plugin that failed, which is no fault of this file.
        if override and not claims and not failures:
            raise RegistryError(
                f"{component.origin}: [{component.kind}.{component.name}] says override = true, and "
                f"there is nothing to replace.{suggestion(component.name, table[component.kind])}"
            )
        if claims:
            component = replace(component, overrides=claims[0].origin)
        table[component.kind][component.name] = (component, *claims)

    for component in _session:
        table[component.kind][component.name] = (component,)

    for component, reason in list(unsound(Catalog(table, tuple(failures)))):
        claims = table[component.kind].pop(component.name)
        left = tuple(each for each in claims if each is not component)
        if left:
            table[component.kind][component.name] = left
        failures.append(_failure(component, reason))
    if failures and os.environ.get("ZOO_STRICT", "0") not in ("", "0"):
        raise PluginError("ZOO_STRICT is set, and\n" + "\n".join(_told(failures)))
    return Catalog(table, tuple(failures), tuple(plugins))


def _builtin() -> Iterable[Component]:
    from zoo.registry.layers import builtin_path, read_layer
    from zoo.registry.requirements import zoo_version

    origin = Origin("built-in", "clip-zoo", zoo_version())
    for component, _ in read_layer(builtin_path(), origin):
        yield component
    for module in ("zoo.heads", "zoo.losses"):
        yield from components_of_hooks(importlib.import_module(module), origin)


def _user() -> list[tuple[Component, bool]]:
    from zoo.registry.layers import read_layer, user_path

    path = user_path()
    return [] if path is None else read_layer(path, Origin("user file", str(path)))


def _failure(component: Component, reason: str) -> Failure:
    return Failure(f"zoo.{component.kind}", component.name, component.origin, reason)


def _told(failures: Iterable[Failure]) -> list[str]:
    return [f"  {failure.origin} ({failure.name}): {failure.reason}" for failure in failures]
