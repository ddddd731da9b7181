"""The catalogue as a value: names to components, how one is found, and what failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from zoo.errors import AmbiguousNameError, UnknownNameError, suggestion
from zoo.registry.component import KINDS, Component, Failure, Kind, Origin, describe, normalised

__all__ = ["Catalog", "Match"]


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

        Where a distribution is called as a family is, a family of plugins comes after what the
        distribution offers, and any other one before.

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

    def select(
        self, kind: Kind | None = None, pattern: str | None = None, *, deprecated: bool = False
    ) -> list[Component]:
        """All components of a kind whose name, bare or with its distribution, fits a wildcard.

        Deprecated names are left out, unless asked for.
        """
        return [
            component
            for each in KINDS
            if kind in (None, each)
            for name, claims in sorted(self.components.get(each, {}).items())
            for component in claims
            if (deprecated or not component.deprecated)
            and (
                pattern is None
                or fnmatchcase(name, pattern)
                or fnmatchcase(f"{component.origin.name}/{name}", pattern)
            )
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
        of_family = [Match(component, rest) for component in family]
        if family and family[0].origin.layer != "plugin":
            return of_family
        found = []
        for component in (each for claims in table.values() for each in claims):
            if normalised(component.origin.name) != normalised(prefix):
                continue
            if component.name == rest:
                found.append(Match(component))
            elif component.is_family and rest.startswith(component.name[:-1]):
                found.append(Match(component, rest[len(component.name) - 1 :]))
        return found or of_family

    def _unknown(self, kind: Kind, name: str) -> str:
        table = {component.name: component for component in self.select(kind)}
        families = [known[:-1] + "NAME" for known in table if known.endswith("/*")]
        message = f"unknown {describe(kind)} {name!r}."
        for failure in self.failures:
            own = (failure.name, f"{failure.origin.name}/{failure.name}")
            if failure.group == f"zoo.{kind}" and name in own:
                return f"{message} {failure.origin} offers it, and it failed: {failure.reason}"
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
