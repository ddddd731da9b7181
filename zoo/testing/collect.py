"""Which checks a name, a factory or a distribution has to pass."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from importlib.metadata import distribution as installed
from typing import Any, Literal

from zoo.errors import (
    ArgumentError,
    DeprecatedNameWarning,
    RegistryError,
    UnknownNameError,
    suggestion,
)
from zoo.registry import KINDS, Catalog, Component, Kind, as_kind, describe, load_catalog
from zoo.registry.component import normalised
from zoo.registry.resolve import resolve
from zoo.testing.case import Case, Check, Subject, checks, require
from zoo.testing.datasets import DATASET, DatasetSubject
from zoo.testing.encoders import IMAGE_ENCODER, TEXT_ENCODER
from zoo.testing.examples import Example, examples_of, full_name
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
    """The cases of an encoder, a head, a loss or a dataset that need not be registered.

    Raises:
        ArgumentError: arguments for a dataset.
        RegistryError: a model, which has no factory.
    """
    found, name = as_kind(kind), getattr(factory, "__name__", "factory")
    if found == "models":
        raise RegistryError("a named model is data and has no factory; check it by its name")
    _check_takes_arguments(found, name, args or {})
    if found == "datasets":
        return _cases(DatasetSubject(name, lambda: factory))
    return _cases(ComponentSubject(found, name, lambda: factory, dict(args or {})))


def cases_of_name(
    name: str, kind: str | None = None, args: Mapping[str, Any] | None = None
) -> list[Case]:
    """The cases of whatever has this name, in every kind that has it.

    Args:
        args: what its factory gets.

    Raises:
        UnknownNameError: nothing has it.
        RegistryError: it is a family of names.
        ArgumentError: arguments for a model or a dataset.
    """
    names = load_catalog()
    kinds = [as_kind(kind)] if kind else list(KINDS)
    found: list[Case] = []
    for each in kinds:
        try:
            match = names.find(each, name)
        except UnknownNameError:
            continue
        if name.endswith("*"):
            members = ", ".join(each.name for each in _examples(names, match.component))
            raise RegistryError(
                f"{name!r} is a family of names; check a member of it, such as {members or 'another'}"
            )
        found += _cases_of(names, match.component, Example(name, dict(args or {})))
    if not found:
        known = [names.shown_name(each) for each in names.select()]
        raise UnknownNameError(f"nothing is called {name!r}.{suggestion(name, known)}")
    return found


def cases_of_plugin(
    distribution: str,
    *,
    examples: Mapping[str, Iterable[str | Mapping[str, Any]]] | None = None,
    expected: Mapping[str, str] | None = None,
) -> list[Case]:
    """The cases of a distribution and of every component, model and dataset that it adds.

    It need not be among `$ZOO_PLUGINS`.

    Args:
        examples: what to check of a component, in place of what `examples()` beside its factory
            says: names, or tables with arguments, such as `{"timm/*": ["timm/resnet18"]}` or
            `{"mlp-gelu": [{"name": "mlp-gelu", "args": {"hidden_dim": 64}}]}`.
        expected: titles of cases to the reasons why they are known to fail, besides the components'
            own `expected_failures`.

    Raises:
        RegistryError: no such plugin is installed, or `expected` names no case, or `examples` no
            component.
        ArgumentError: arguments for a model or a dataset.
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
    components = {each.name: each for each in plugin.components()}
    for name in examples or {}:
        if name not in components:
            raise RegistryError(
                f"examples: {distribution} has no component {name!r}.{suggestion(name, components)}"
            )
    for component in plugin.components():
        given = (examples or {}).get(component.name)
        chosen = _examples(names, component) if given is None else map(Example.of, given)
        for example in chosen:
            found += _cases_of(names, component, example)
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


def _check_takes_arguments(kind: Kind, name: str, args: Mapping[str, Any]) -> None:
    if args and kind in ("models", "datasets"):
        instead = "; what it is made of is in its spec" if kind == "models" else ""
        raise ArgumentError(
            f"the {describe(kind)} {name!r} is checked without arguments, and got "
            f"{', '.join(args)}{instead}"
        )


def _cases_of(names: Catalog, component: Component, example: Example) -> list[Case]:
    _check_takes_arguments(component.kind, example.name, example.args)
    shown = replace(example, name=example.name.removeprefix(f"{component.origin.name}/")).title
    if component.kind == "models":
        return _cases(ModelSubject(shown, example.name, names))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecatedNameWarning)
        resolved = resolve(names, component.kind, example.name, example.args)
    if component.kind == "datasets":
        return _cases(DatasetSubject(shown, resolved.load))
    return _cases(
        ComponentSubject(
            component.kind, shown, resolved.load, resolved.args, resolved.rest, example.weights
        )
    )


def _examples(names: Catalog, component: Component) -> list[Example]:
    """What its module says; if nothing, a component as it is, and nothing of a family.

    Whatever is wrong with the module, the check `targets` reports it.
    """
    found: list[Example] = []
    if component.kind != "models":
        with warnings.catch_warnings(), contextlib.suppress(Exception, SystemExit):
            warnings.simplefilter("ignore")
            found = examples_of(names, component)
    if not found and not component.is_family:
        return [Example(full_name(component))]
    prefix = full_name(component).removesuffix(component.name)
    return [replace(each, name=prefix + each.name) for each in found]


def _allowed(distribution: str) -> set[str] | None:
    """The plugins of `$ZOO_PLUGINS` and this one; None, for all, where that is not set."""
    listed = os.environ.get("ZOO_PLUGINS")
    if listed is None:
        return None
    named = {name for name in listed.split(",") if name.strip()}
    return named if normalised(distribution) == "clip-zoo" else named | {distribution}
