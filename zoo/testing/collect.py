"""Which checks a name, a factory or a distribution has to pass."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError
from importlib.metadata import distribution as installed
from typing import Any, Literal

from zoo.errors import DeprecatedNameWarning, RegistryError, UnknownNameError, suggestion
from zoo.registry import KINDS, Catalog, Component, Kind, as_kind, load_catalog
from zoo.registry.component import normalised
from zoo.registry.resolve import resolve
from zoo.testing.case import Case, Check, Subject, checks, require
from zoo.testing.datasets import DATASET, DatasetSubject
from zoo.testing.encoders import IMAGE_ENCODER, TEXT_ENCODER
from zoo.testing.heads import HEAD
from zoo.testing.losses import LOSS
from zoo.testing.models import MODEL, ModelSubject
from zoo.testing.plugins import PLUGIN, PluginSubject
from zoo.testing.subject import ComponentSubject

__all__ = ["cases_of_factory", "cases_of_name", "cases_of_plugin", "checks_of"]


def expected_failures(subject: ComponentSubject) -> None:
    """`expected_failures`, where there is one, maps checks of its kind to reasons in words."""
    declared = getattr(subject.module, "expected_failures", {})
    require(isinstance(declared, dict), f"expected_failures is a dict, not {declared!r}")
    known = [check.name for check in _CHECKS[subject.kind]]
    for name, reason in declared.items():
        require(
            name in known, f"expected_failures names no check: {name!r}; checks: {', '.join(known)}"
        )
        require(
            isinstance(reason, str) and len(reason.split()) > 2,
            f"expected_failures[{name!r}] is {reason!r}; give the reason in words",
        )


_CHECKS: dict[Kind | Literal["plugin"], tuple[Check, ...]] = {
    "image_encoders": checks((*IMAGE_ENCODER, expected_failures)),
    "text_encoders": checks((*TEXT_ENCODER, expected_failures)),
    "projection_heads": checks((*HEAD, expected_failures)),
    "losses": checks((*LOSS, expected_failures)),
    "models": checks(MODEL),
    "datasets": checks(DATASET),
    "plugin": checks(PLUGIN),
}


def checks_of(kind: str) -> tuple[Check, ...]:
    """The checks of a kind of component, or of a `plugin`."""
    return _CHECKS["plugin" if kind == "plugin" else as_kind(kind)]


def cases_of_factory(
    kind: str, factory: Callable[..., Any], args: Mapping[str, Any] | None = None
) -> list[Case]:
    """The cases of an encoder, a head, a loss or a dataset that need not be registered."""
    found, name = as_kind(kind), getattr(factory, "__name__", "factory")
    if found == "models":
        raise RegistryError("a named model is data and has no factory; check it by its name")
    if found == "datasets":
        return _cases(DatasetSubject(name, factory))
    return _cases(ComponentSubject(found, name, factory, dict(args or {})))


def cases_of_name(
    name: str, kind: str | None = None, args: Mapping[str, Any] | None = None
) -> list[Case]:
    """The cases of whatever has this name, in every kind that has it.

    Raises:
        UnknownNameError: nothing has it.
    """
    names = load_catalog()
    kinds = [as_kind(kind)] if kind else list(KINDS)
    found: list[Case] = []
    for each in kinds:
        try:
            match = names.find(each, name)
        except UnknownNameError:
            continue
        found += _cases_of(names, match.component, [name], args)
    if not found:
        known = [names.shown_name(each) for each in names.select()]
        raise UnknownNameError(f"nothing is called {name!r}.{suggestion(name, known)}")
    return found


def cases_of_plugin(
    distribution: str,
    *,
    examples: Mapping[str, list[str]] | None = None,
    expected: Mapping[str, str] | None = None,
) -> list[Case]:
    """The cases of a distribution and of every component, model and dataset that it adds.

    It need not be among `$ZOO_PLUGINS`.

    Args:
        examples: members to check of families, such as `{"timm/*": ["timm/resnet18"]}`, in place
            of what `examples()` beside the factory says.
        expected: titles of cases to the reasons why they are known to fail.

    Raises:
        RegistryError: no such plugin is installed, or `expected` names no case.
    """
    try:
        installed(distribution)
    except PackageNotFoundError as error:
        known = ["clip-zoo", *(each.name for each in load_catalog().plugins)]
        raise RegistryError(
            f"no plugin {distribution!r} is installed.{suggestion(distribution, known)}"
        ) from error
    names = load_catalog(_allowed(distribution))
    plugin = PluginSubject(distribution, names)
    found = _cases(plugin)
    for component in plugin.components():
        if component.is_family:
            members = (examples or {}).get(component.name, _examples(names, component))
        else:
            members = [_full_name(component)]
        found += _cases_of(names, component, members, None)
    reasons = dict(expected or {})
    titles = [case.title for case in found]
    for title in reasons:
        if title not in titles:
            raise RegistryError(f"there is no case {title!r}.{suggestion(title, titles)}")
    return [
        Case(each.subject, each.check, reasons.get(each.title)) if each.title in reasons else each
        for each in found
    ]


def _cases(subject: Subject) -> list[Case]:
    return [Case(subject, check) for check in _CHECKS[subject.kind]]


def _cases_of(
    names: Catalog, component: Component, members: list[str], args: Mapping[str, Any] | None
) -> list[Case]:
    found: list[Case] = []
    for member in members:
        shown = member.removeprefix(f"{component.origin.name}/")
        if component.kind == "models":
            found += _cases(ModelSubject(shown, member, names))
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecatedNameWarning)
            resolved = resolve(names, component.kind, member, args)
        if component.kind == "datasets":
            found += _cases(DatasetSubject(shown, resolved.load()))
            continue
        found += _cases(
            ComponentSubject(component.kind, shown, resolved.load(), resolved.args, resolved.rest)
        )
    return found


def _examples(names: Catalog, component: Component) -> list[str]:
    """What a family's module says; the check `families` is there for those that say nothing."""
    factory = resolve(names, component.kind, f"{_full_name(component)[:-1]}any").load()
    given = getattr(sys.modules.get(factory.__module__), "examples", list)
    prefix = component.name[:-1]
    return [each for each in given() if each.startswith(prefix)]


def _full_name(component: Component) -> str:
    if component.origin.layer == "plugin":
        return f"{component.origin.name}/{component.name}"
    return component.name


def _allowed(distribution: str) -> set[str] | None:
    """The plugins of `$ZOO_PLUGINS` and this one; None, for all, where that is not set."""
    listed = os.environ.get("ZOO_PLUGINS")
    if listed is None:
        return None
    named = {name for name in listed.split(",") if name.strip()}
    return named if normalised(distribution) == "clip-zoo" else named | {distribution}
