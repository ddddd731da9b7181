"""Checks of a whole distribution: its metadata, its hook modules, and what its names point at."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from typing import Literal

from packaging.requirements import Requirement

from zoo.errors import ZooError
from zoo.registry import Catalog, Component, describe
from zoo.registry.component import normalised
from zoo.registry.hooks import HEAVY
from zoo.registry.requirements import range_from, zoo_version
from zoo.testing.case import CheckFailed, NotApplicable, require
from zoo.testing.examples import examples_of, factory_of

__all__ = ["PLUGIN", "PluginSubject"]

_OWN_HOOK_MODULES = ("zoo.heads", "zoo.losses")
_PROBE = """
import importlib, json, sys
sys.path[:] = json.loads(sys.argv[1])
for name in sys.argv[2:]:
    importlib.import_module(name)
print("heavy:", *(name for name in {heavy!r} if name in sys.modules))
"""
_LIMIT = 60.0
"""Seconds that hook modules may take to be imported."""


@dataclass(frozen=True, eq=False)
class PluginSubject:
    """A distribution that adds names."""

    name: str
    names: Catalog
    kind: Literal["plugin"] = "plugin"

    def components(self) -> list[Component]:
        return [
            each
            for each in self.names.select(deprecated=True)
            if normalised(each.origin.name) == normalised(self.name)
            and each.origin.layer in ("built-in", "plugin")
        ]

    def expected_failures(self) -> Mapping[str, str]:
        return {}


def loads(subject: PluginSubject) -> None:
    """Nothing of it failed to load: names are legal, shadow nothing, and files are valid."""
    failures = [
        f"{each.name}: {each.reason}"
        for each in subject.names.failures
        if normalised(each.origin.name) == normalised(subject.name)
    ]
    require(not failures, "\n".join(failures))
    require(bool(subject.components()), "it adds no name")


def targets(subject: PluginSubject) -> None:
    """Every name points at something that is there and can be called."""
    for component in subject.components():
        if component.kind == "models":
            continue
        try:
            examples_of(subject.names, component)
        except ZooError as error:
            raise CheckFailed(str(error)) from error
        except Exception as error:
            raise CheckFailed(
                f"examples() beside the factory of {component.name!r} fails: "
                f"{type(error).__name__}: {error}"
            ) from error


def import_light(subject: PluginSubject) -> None:
    """In a fresh process its hook modules import no deep-learning library and print nothing."""
    modules = _hook_modules(subject)
    if not modules:
        raise NotApplicable("it has no hook module")
    path = json.dumps(sys.path)
    probe = [sys.executable, "-c", _PROBE.format(heavy=sorted(HEAVY)), path, *modules]
    try:
        done = subprocess.run(probe, capture_output=True, text=True, check=False, timeout=_LIMIT)
    except subprocess.TimeoutExpired as error:
        raise CheckFailed(f"{', '.join(modules)} take more than {_LIMIT:g} s to import") from error
    last = (done.stderr.strip().splitlines() or [""])[-1]
    require(done.returncode == 0, f"{', '.join(modules)} cannot be imported: {last}")
    *printed, heavy = done.stdout.splitlines()
    require(not printed, f"{', '.join(modules)} print {printed[:1]} when imported")
    loaded = heavy.removeprefix("heavy:").split()
    require(
        not loaded,
        f"{', '.join(modules)} import {', '.join(loaded)}; move what needs it to a module that only "
        "a component's target names",
    )


def summaries(subject: PluginSubject) -> None:
    """Every name is explained: by its summary, or by the first line of its factory's docstring."""
    for component in subject.components():
        said = component.summary
        if not said and component.target is not None:
            said = factory_of(subject.names, component).__doc__ or ""
        require(
            bool(said.strip()),
            f"the {describe(component.kind)} {component.name!r} has neither a summary nor a docstring",
        )


def families(subject: PluginSubject) -> None:
    """Every family names examples to be checked, in `examples()` beside its factory."""
    found = [each for each in subject.components() if each.is_family]
    if not found:
        raise NotApplicable("it has no family of names")
    for component in found:
        require(
            bool(examples_of(subject.names, component)),
            f"the module of {component.name!r} has no examples() -> list[str] with a member of it, "
            f"such as {component.name[:-1]}NAME",
        )


def requirement(subject: PluginSubject) -> None:
    """Its metadata requires clip-zoo, from a version and up to one."""
    if normalised(subject.name) == "clip-zoo":
        raise NotApplicable("it is clip-zoo itself")
    try:
        stated = distribution(subject.name).requires or []
    except PackageNotFoundError as error:
        raise CheckFailed(f"there is no installed distribution {subject.name!r}") from error
    mine = [each for each in map(Requirement, stated) if normalised(each.name) == "clip-zoo"]
    bounds = {part.operator for each in mine for part in each.specifier}
    require(
        bool(bounds & {">=", ">", "==", "~="}) and bool(bounds & {"<", "<=", "==", "~="}),
        "it does not state the range of clip-zoo it works with; add to its dependencies, for "
        f'example, "{range_from(zoo_version() or "0.1")}"',
    )


PLUGIN = (loads, targets, import_light, summaries, families, requirement)


def _hook_modules(subject: PluginSubject) -> list[str]:
    if normalised(subject.name) == "clip-zoo":
        return list(_OWN_HOOK_MODULES)
    entries = distribution(subject.name).entry_points.select(group="zoo.plugins")
    return sorted({entry.module for entry in entries})
