"""Discovery of plugins: every entry point is read on its own, so that a broken one hurts only itself."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from zoo.errors import RegistryError, suggestion
from zoo.registry.asking import SECONDS, ask, components_of_answer, seconds_allowed
from zoo.registry.component import (
    Component,
    Failure,
    Kind,
    Origin,
    check_name,
    describe,
    normalised,
)
from zoo.registry.distributions import Installed, installed
from zoo.registry.layers import read_layer
from zoo.registry.requirements import refusal
from zoo.registry.targets import Targets

__all__ = ["discover"]

_COMPONENT_GROUPS: dict[str, Kind] = {
    "zoo.image_encoders": "image_encoders",
    "zoo.text_encoders": "text_encoders",
    "zoo.datasets": "datasets",
}
_HOOK_GROUP = "zoo.plugins"
_REGISTRY_GROUP = "zoo.registries"
_GROUPS = (*_COMPONENT_GROUPS, _HOOK_GROUP, _REGISTRY_GROUP)
_DISTRIBUTION = "distribution"


def discover(
    allow: Iterable[str] | None = None, seconds: float | None = None
) -> tuple[list[Component], list[Failure], list[Origin]]:
    """The components of all plugins that are allowed, the failures, and the distributions read.

    Encoders and datasets are read from entry-point metadata alone; hook modules are asked, all at
    once, in a process of their own.

    Args:
        allow: the only distributions to read, in place of what `$ZOO_PLUGINS` says.
        seconds: for all hook modules together; `$ZOO_PLUGIN_SECONDS` may say more.

    Raises:
        RegistryError: `$ZOO_PLUGIN_SECONDS` is not a number of seconds.
    """
    components: list[Component] = []
    failures: list[Failure] = []
    origins: list[Origin] = []
    sound: list[Installed] = []
    allowed, by = _allowed(allow)
    seconds = seconds_allowed(seconds or SECONDS)
    seen: set[str] = set()
    for found in installed(_GROUPS):
        seen.add(normalised(found.origin.name))
        if allowed is not None and normalised(found.origin.name) not in allowed:
            continue
        part, fault = found.part, found.fault
        if not fault:
            origins.append(found.origin)
            part, fault = "requirement", refusal(found.requirements, found.origin.name)
        if fault:
            failures.append(Failure(_DISTRIBUTION, part, found.origin, fault))
        else:
            sound.append(found)
    entries = [entry for found in sound for entry in found.entries]
    answers = ask([_value(each) for each in entries if each.group == _HOOK_GROUP], seconds)
    targets = Targets()
    for found in sound:
        offered, failed = _offers(found, answers, targets)
        components += offered
        failures += failed
    for name in sorted((allowed or set()) - seen):
        reason = f"{by} {name!r}, and no such plugin is installed.{suggestion(name, seen)}"
        failures.append(Failure(_DISTRIBUTION, name, Origin("plugin", name), reason))
    return components, failures, origins


def _offers(
    found: Installed, answers: Mapping[str, Any], targets: Targets
) -> tuple[list[Component], list[Failure]]:
    """What one distribution offers, and what of it failed."""
    offered: dict[tuple[Kind, str], Component] = {}
    failures: list[Failure] = []
    for entry in found.entries:
        try:
            components = _read(entry, found.origin, answers)
        except Exception as error:
            reason = (
                str(error)
                if isinstance(error, RegistryError)
                else f"{type(error).__name__}: {error}"
            )
            failures.append(Failure(entry.group, entry.name, found.origin, reason))
            continue
        for component in components:
            kind, name = component.kind, component.name
            try:
                if (kind, name) in offered:
                    raise RegistryError(
                        f"{found.origin} offers the {describe(kind)} name {name!r} twice"
                    )
                _check_target(component, targets)
            except RegistryError as error:
                failures.append(Failure(f"zoo.{kind}", name, found.origin, str(error)))
            else:
                offered[kind, name] = component
    return list(offered.values()), failures


def _value(entry: EntryPoint) -> str:
    return re.sub(r"\[.*\]$", "", "".join(entry.value.split()))  # extras are pip's business


def _read(entry: EntryPoint, origin: Origin, answers: Mapping[str, Any]) -> list[Component]:
    value = _value(entry)
    if entry.group == _HOOK_GROUP:
        return components_of_answer(answers[value], origin)
    if entry.group == _REGISTRY_GROUP:
        return [component for component, _ in read_layer(_fragment(value), origin)]
    kind = _COMPONENT_GROUPS[entry.group]
    check_name(kind, entry.name, f"entry point in {entry.group}")
    return [Component(kind, entry.name, origin, target=value)]


def _check_target(component: Component, targets: Targets) -> None:
    if component.target is None:
        return
    try:
        targets.check(component.target)
    except RegistryError as error:
        joint = ";" if str(error).startswith("write") else ", and"
        raise RegistryError(
            f"the target of {component.name!r} is {component.target!r}{joint} {error}"
        ) from error


def _fragment(value: str) -> Path:
    """The path behind `"package:file.toml"`, found without importing the package."""
    package, _, file = value.partition(":")
    top, *rest = package.split(".")
    if not top or not file:
        raise RegistryError(f"the entry point names {value!r}; write 'package:file.toml'")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise RegistryError(f"the entry point names {value!r}, and there is no package {top!r}")
    for location in spec.submodule_search_locations:
        path = Path(location, *rest, file)
        if path.is_file():
            return path
    raise RegistryError(f"the entry point names {value!r}, and there is no such file")


def _allowed(allow: Iterable[str] | None) -> tuple[set[str] | None, str]:
    """The allowed distributions, or None for all; and who says so, for a message."""
    if allow is not None:
        names, by = [allow] if isinstance(allow, str) else list(allow), "asked for"
    elif (value := os.environ.get("ZOO_PLUGINS")) is not None:
        names, by = value.split(","), "ZOO_PLUGINS allows"
    else:
        return None, ""
    return {normalised(name) for name in names if name.strip()}, by
