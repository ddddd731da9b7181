"""A name and its arguments to a factory: presets followed, arguments bound to the signature."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zoo.errors import ArgumentError, PluginError, RegistryError, suggestion
from zoo.registry.catalog import Catalog
from zoo.registry.component import Component, Kind, describe

__all__ = ["Resolved", "arguments_of", "bind", "resolve"]


@dataclass(frozen=True)
class Resolved:
    """A component with all its presets applied, not imported yet."""

    component: Component
    """The one that was named."""
    root: Component
    """The one that has the factory, at the end of the presets."""
    rest: str | None
    """For a family: the rest of the name, the factory's first argument."""
    args: Mapping[str, Any]
    weights: str | None
    """The weights tag that a preset chose, if one did."""

    def load(self) -> Callable[..., Any]:
        """Import the factory.

        Raises:
            PluginError: its module cannot be imported, or lacks the attribute.
        """
        if self.root.factory is not None:
            return self.root.factory
        target = self.root.target or ""
        module, _, attribute = target.partition(":")
        where = f"{describe(self.root.kind)} {self.root.name!r} of {self.root.origin}"
        try:
            found: Any = importlib.import_module(module)
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"{where} could not be imported from {target!r}: {type(error).__name__}: {error}"
            ) from error
        for part in attribute.split("."):
            try:
                found = getattr(found, part)
            except AttributeError as error:
                raise PluginError(
                    f"{where} names {target!r}, and {found!r} has no {part!r}."
                    f"{suggestion(part, dir(found))}"
                ) from error
        if not callable(found):
            raise PluginError(f"{where} names {target!r}, which is {found!r} and cannot be called")
        factory: Callable[..., Any] = found
        return factory


def resolve(
    names: Catalog, kind: Kind, name: str, args: Mapping[str, Any] | None = None
) -> Resolved:
    """Find a component and follow `use` to its factory. Imports nothing.

    Raises:
        UnknownNameError, AmbiguousNameError: as `Catalog.find`.
        RegistryError: presets that go round in a circle.
    """
    match = names.find(kind, name)
    component = match.component
    merged = dict(args or {})
    weights = component.weights
    trail = [component]
    while match.component.use is not None:
        step = match.component
        merged = {**step.args, **merged}
        match = names.find(kind, step.use or "")
        if match.component in trail:
            circle = " -> ".join(each.name for each in [*trail, match.component])
            raise RegistryError(f"{step.origin}: [{kind}.{step.name}] goes round: {circle}")
        trail.append(match.component)
        weights = weights or match.component.weights
    root = match.component
    return Resolved(component, root, match.rest, {**root.args, **merged}, weights)


def arguments_of(
    factory: Callable[..., Any], reserved: frozenset[str] = frozenset()
) -> dict[str, inspect.Parameter]:
    """The arguments that a spec may give to a factory, with annotations evaluated."""
    try:
        signature = inspect.signature(factory, eval_str=True)
    except NameError:  # an annotation that exists for type checkers only
        signature = inspect.signature(factory)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {
        name: parameter
        for name, parameter in signature.parameters.items()
        if parameter.kind in named and name not in reserved
    }


def bind(
    factory: Callable[..., Any],
    resolved: Resolved,
    reserved: frozenset[str],
    path: str,
    where: str,
) -> dict[str, Any]:
    """Check arguments against a factory's signature; names first, then types.

    Args:
        reserved: names that zoo itself passes, such as `in_dim`.
        path: the arguments' path in the spec, such as `image.head.args`.
        where: the spec's source, for the message.

    Returns:
        All arguments with the factory's own defaults filled in.

    Raises:
        ArgumentError: an unknown, missing or mistyped argument; the message has its path.
    """
    known = arguments_of(factory, reserved)
    title = f"{describe(resolved.component.kind)} {resolved.component.name!r}"
    if resolved.rest is not None and known:
        known.pop(next(iter(known)))
    for name in resolved.args:
        if name in known:
            continue
        if name in reserved:
            raise ArgumentError(
                f"{path}.{name} ({where}): zoo itself passes {name!r} to the {title}"
            )
        takes = f"it takes {', '.join(known)}" if known else "it takes no arguments"
        raise ArgumentError(
            f"{path}.{name} ({where}): the {title} has no argument {name!r}; {takes}."
            f"{suggestion(name, known)}"
        )
    bound = {}
    for name, parameter in known.items():
        if name in resolved.args:
            value = resolved.args[name]
            bound[name] = _typed(value, parameter.annotation, f"{path}.{name} ({where}): {title}")
        elif parameter.default is not inspect.Parameter.empty:
            bound[name] = parameter.default
        else:
            raise ArgumentError(f"{path}.{name} ({where}): the {title} needs an argument {name!r}")
    return bound


def _typed(value: object, annotation: Any, where: str) -> Any:
    """The value as its annotation has it, by JSON's rules: a list may become a tuple, `1` not `True`."""
    if annotation is inspect.Parameter.empty or isinstance(annotation, str):
        return value
    from pydantic import TypeAdapter, ValidationError
    from pydantic.errors import PydanticSchemaGenerationError

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    except PydanticSchemaGenerationError:
        return value
    try:
        return adapter.validate_json(json.dumps(value), strict=True)
    except (TypeError, ValueError) as error:
        said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        wanted = (
            getattr(annotation, "__name__", str(annotation))
            if isinstance(annotation, type)
            else annotation
        )
        raise ArgumentError(f"{where} takes {wanted} here, not {value!r}: {said}") from error
