"""A name and its arguments to a factory: presets followed, arguments bound to the signature."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zoo.errors import ArgumentError, PluginError, RegistryError, suggestion
from zoo.registry.component import Component, Kind, describe
from zoo.registry.deprecation import warn_if_deprecated
from zoo.registry.names import Catalog

__all__ = ["Resolved", "Unresolved", "arguments_of", "bind", "resolve"]


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
    preset_by: Mapping[str, Component]
    """For each argument that the spec does not give, the preset that does."""
    weights: str | None
    """The weights tag that a preset chose, if one did."""

    @property
    def asked_for(self) -> str:
        """The component's name; for a family, with the rest of the name in place."""
        name = self.component.name
        return name if self.rest is None or not name.endswith("*") else name[:-1] + self.rest

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

    Warns with `DeprecatedNameWarning`, once, if a name on the way is deprecated.

    Raises:
        UnknownNameError, AmbiguousNameError: as `Catalog.find`.
        RegistryError: presets that go round in a circle.
    """
    match = names.find(kind, name)
    component = match.component
    merged = dict(args or {})
    preset_by: dict[str, Component] = {}
    weights = component.weights
    trail = [component]
    while True:
        step = match.component
        for key in step.args.keys() - merged.keys():
            merged[key] = step.args[key]
            preset_by[key] = step
        if step.use is None:
            warn_if_deprecated(trail)
            return Resolved(component, step, match.rest, merged, preset_by, weights)
        match = names.find(kind, step.use)
        if match.component in trail:
            circle = " -> ".join(each.name for each in [*trail, match.component])
            raise RegistryError(f"{step.origin}: [{kind}.{step.name}] goes round: {circle}")
        trail.append(match.component)
        weights = weights or match.component.weights


@dataclass(frozen=True)
class Unresolved:
    """In place of a parameter's annotation: one written as text that cannot be evaluated."""

    text: str
    reason: str


def arguments_of(
    factory: Callable[..., Any], reserved: frozenset[str] = frozenset(), *, family: bool = False
) -> dict[str, inspect.Parameter]:
    """The arguments that a spec may give to a factory, with annotations evaluated.

    An annotation that cannot be evaluated is an `Unresolved`, for no argument may ever be given that
    has one: types that are imported for type checkers only are usual.

    Args:
        reserved: names to leave out.
        family: whether the first parameter takes the rest of the name, and is left out too.
    """
    try:
        signature = inspect.signature(factory, eval_str=True)
    except Exception:  # whatever a text may raise; which one it is can be told one by one
        signature = _evaluated_apart(factory)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {
        name: parameter
        for name, parameter in list(signature.parameters.items())[int(family) :]
        if parameter.kind in named and name not in reserved
    }


def _evaluated_apart(factory: Callable[..., Any]) -> inspect.Signature:
    """Its signature, each annotation evaluated by itself, where its code is."""
    signature = inspect.signature(factory)
    code = factory.__init__ if inspect.isclass(factory) else factory
    names = getattr(inspect.unwrap(code), "__globals__", {})

    def evaluated(text: object) -> object:
        if not isinstance(text, str):
            return text
        try:
            return eval(text, names)
        except Exception as error:
            return Unresolved(text, f"{type(error).__name__}: {error}")

    return signature.replace(
        parameters=[
            each.replace(annotation=evaluated(each.annotation))
            for each in signature.parameters.values()
        ],
        return_annotation=signature.empty,
    )


def bind(
    factory: Callable[..., Any],
    resolved: Resolved,
    reserved: frozenset[str],
    path: str,
    source_of: Callable[[str], str],
) -> dict[str, Any]:
    """Check arguments against a factory's signature; names first, then types.

    Args:
        reserved: names that zoo itself passes, such as `in_dim`.
        path: the arguments' path in the spec, such as `image.head.args`.
        source_of: tells which file, model or override set a path.

    Returns:
        All arguments with the factory's own defaults filled in.

    Raises:
        ArgumentError: an unknown, missing or mistyped argument; the message has its path.
        PluginError: an argument is given whose annotation is no type that can be resolved.
    """
    known = arguments_of(factory, reserved, family=resolved.root.is_family)
    title = f"{describe(resolved.component.kind)} {resolved.component.name!r}"

    def where(name: str) -> str:
        preset = resolved.preset_by.get(name)
        source = (
            f"preset {preset.name!r} of {preset.origin}" if preset else source_of(f"{path}.{name}")
        )
        return f"{path}.{name} ({source}): the {title}"

    for name in resolved.args:
        if name in known:
            continue
        if name in reserved:
            raise ArgumentError(f"{where(name)} gets {name!r} from zoo itself")
        takes = f"it takes {', '.join(known)}" if known else "it takes no arguments"
        raise ArgumentError(
            f"{where(name)} has no argument {name!r}; {takes}.{suggestion(name, known)}"
        )
    bound = {}
    for name, parameter in known.items():
        if name in resolved.args:
            bound[name] = _typed(resolved.args[name], parameter.annotation, where(name))
        elif parameter.default is not inspect.Parameter.empty:
            bound[name] = parameter.default
        else:
            raise ArgumentError(f"{where(name)} needs an argument {name!r}")
    return bound


def _typed(value: object, annotation: Any, where: str) -> Any:
    """The value as its annotation has it, by JSON's rules: a list may become a tuple, `1` not `True`."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{where}: {value!r} is not a value that a spec can hold") from error
    if annotation is inspect.Parameter.empty:
        return value
    if isinstance(annotation, Unresolved):
        raise PluginError(_unresolved(where, annotation.text, annotation.reason))
    from pydantic import TypeAdapter, ValidationError
    from pydantic.errors import PydanticSchemaGenerationError

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        adapter.rebuild()  # which says what is missing, where anything is
    except PydanticSchemaGenerationError:
        return value
    except Exception as error:  # a part of it in quotes, or code of its own that fails
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise PluginError(_unresolved(where, str(annotation), reason)) from error
    try:
        return adapter.validate_json(text, strict=True)
    except ValidationError as error:
        said = error.errors()[0]["msg"]
        raise ArgumentError(f"{where}: {said[0].lower()}{said[1:]}, not {value!r}") from error


def _unresolved(where: str, annotation: str, reason: str) -> str:
    return (
        f"{where} annotates it as {annotation!r}, which cannot be resolved ({reason}); annotate it "
        "with a type that its module has when it is imported, without quotes inside"
    )
