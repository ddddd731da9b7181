"""Which members of a family, and which arguments, components are checked with."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from zoo.errors import RegistryError
from zoo.registry import Catalog, Component
from zoo.registry.resolve import resolve

__all__ = ["Example", "examples_of", "factory_of", "full_name"]


@dataclass(frozen=True)
class Example:
    """How a component is made to be checked: a name, and what goes with it."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None

    @classmethod
    def of(cls, given: str | Mapping[str, Any]) -> Example:
        """From a name, or from a table with `name`, and perhaps `args` and `weights`.

        Raises:
            RegistryError: it is neither.
        """
        if isinstance(given, str):
            return cls(given)
        keys = [each.name for each in fields(cls)]
        if not isinstance(given, Mapping) or not {"name"} <= set(given) <= set(keys):
            raise RegistryError(
                f"an example is a name, or a table of {', '.join(keys)}; not {given!r:.200}"
            )
        return cls(**given)

    def is_of(self, component: Component) -> bool:
        if component.is_family:
            return self.name.startswith(component.name[:-1])
        return self.name == component.name

    @property
    def title(self) -> str:
        """`mlp-gelu(hidden_dim=64)`."""
        told = [f"{key}={value}" for key, value in self.args.items()]
        told += [f"weights={self.weights}"] if self.weights else []
        return f"{self.name}({', '.join(told)})" if told else self.name


def full_name(component: Component) -> str:
    """The name that finds it whatever else there is: `distribution/name`."""
    if component.origin.layer == "plugin":
        return f"{component.origin.name}/{component.name}"
    return component.name


def factory_of(names: Catalog, component: Component) -> Callable[..., Any]:
    """The factory of a component, or of a family.

    Raises:
        PluginError: it cannot be imported.
    """
    name = full_name(component)
    return resolve(names, component.kind, name[:-1] + "any" if component.is_family else name).load()


def examples_of(names: Catalog, component: Component) -> list[Example]:
    """What `examples()` beside its factory says of it: members of a family, or arguments to try.

    Raises:
        PluginError: the factory cannot be imported.
    """
    module = sys.modules.get(factory_of(names, component).__module__)
    given: list[Any] = getattr(module, "examples", list)()
    return [each for each in map(Example.of, given) if each.is_of(component)]
