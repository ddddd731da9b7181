"""Discovery of plugins: every entry point is read on its own, so that a broken one hurts only itself."""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from types import ModuleType

import pluggy

from zoo.errors import RegistryError, suggestion
from zoo.registry import hookspecs
from zoo.registry.component import Component, Kind, Origin, check_name, describe
from zoo.registry.layers import read_layer

__all__ = ["Failure", "HeavyImportError", "components_of_hooks", "discover", "normalised"]

COMPONENT_GROUPS: dict[str, Kind] = {
    "zoo.image_encoders": "image_encoders",
    "zoo.text_encoders": "text_encoders",
    "zoo.datasets": "datasets",
}
HOOK_GROUP = "zoo.plugins"
REGISTRY_GROUP = "zoo.registries"

_HOOKS: dict[str, Kind] = {
    "zoo_projection_heads": "projection_heads",
    "zoo_losses": "losses",
}
_HEAVY = frozenset(
    {"torch", "torchvision", "timm", "transformers", "tensorflow", "jax", "open_clip"}
)


@dataclass(frozen=True)
class Failure:
    """An entry point that could not be used, and why."""

    group: str
    name: str
    origin: Origin
    reason: str


class HeavyImportError(ImportError):
    """A hook module imported a deep-learning library while the zoo was only being listed."""


def discover() -> tuple[list[Component], list[Failure], list[Origin]]:
    """The components of all plugins that are allowed, the failures, and the distributions seen.

    Encoders and datasets are read from entry-point metadata alone; hook modules are imported,
    behind a fence that keeps torch out.
    """
    components: list[Component] = []
    failures: list[Failure] = []
    origins: dict[Origin, None] = {}
    allowed = _allow_list()
    seen: set[str] = set()
    claimed: set[tuple[str, str, str]] = set()
    for group, entry, origin, fault in _entries():
        seen.add(normalised(origin.name))
        if allowed is not None and normalised(origin.name) not in allowed:
            continue
        origins[origin] = None
        try:
            if fault is not None:
                raise fault
            assert entry is not None
            for component in _read(group, entry, origin):
                key = (normalised(origin.name), component.kind, component.name)
                if key in claimed:
                    raise RegistryError(
                        f"{origin} offers the {describe(component.kind)} name {component.name!r} twice"
                    )
                claimed.add(key)
                components.append(component)
        except (Exception, SystemExit) as error:
            name = entry.name if entry else "metadata"
            failures.append(Failure(group, name, origin, _reason(error)))
    for name in sorted((allowed or set()) - seen):
        failures.append(
            Failure(
                "ZOO_PLUGINS",
                name,
                Origin("plugin", name),
                f"ZOO_PLUGINS allows {name!r}, and no such plugin is installed."
                f"{suggestion(name, seen)}",
            )
        )
    return components, failures, list(origins)


def _entries() -> Iterator[tuple[str, EntryPoint | None, Origin, Exception | None]]:
    """Every entry point of zoo's groups, distribution by distribution, each read on its own."""
    groups = (*COMPONENT_GROUPS, HOOK_GROUP, REGISTRY_GROUP)
    known: set[str] = set()
    for distribution in distributions():
        try:
            text = distribution.read_text("entry_points.txt") or ""
        except (OSError, UnicodeDecodeError):
            continue
        if not any(f"[{group}]" in text for group in groups):
            continue
        name: str | None = None
        with contextlib.suppress(Exception):  # metadata that is missing or cannot be parsed
            name, number = distribution.name, distribution.version
        if name is None:
            where = Path(str(getattr(distribution, "_path", "unknown")))
            fault = f"{where}: its metadata cannot be read; install the distribution again"
            yield groups[0], None, Origin("plugin", where.stem), RegistryError(fault)
            continue
        origin = Origin("plugin", name, number)
        if normalised(origin.name) in known:  # an older copy further down the path
            continue
        known.add(normalised(origin.name))
        try:
            found = list(distribution.entry_points)
        except Exception as error:
            yield (
                groups[0],
                None,
                origin,
                RegistryError(f"its entry points cannot be read: {error}"),
            )
            continue
        for entry in sorted(found, key=lambda each: (each.group, each.name)):
            if entry.group in groups:
                yield entry.group, entry, origin, None


def components_of_hooks(plugin: object, origin: Origin) -> list[Component]:
    """The heads and losses that one hook module offers.

    The module gets a plugin manager of its own, so that its error is its own too.

    Raises:
        RegistryError: it implements an unknown hook, or a hook returns the wrong thing.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise RegistryError(f"{error}; the hooks are {', '.join(_HOOKS)}") from error
    components = []
    for hook, kind in _HOOKS.items():
        caller = getattr(manager.hook, hook)
        if not caller.get_hookimpls():
            continue
        returned = caller()
        if not returned:
            raise RegistryError(f"{hook}() returned None; it returns a list of HookedComponent")
        components += [_from_hook(kind, hook, item, origin) for item in _items(hook, returned[0])]
    return components


def _items(hook: str, returned: object) -> Sequence[object]:
    if isinstance(returned, (list, tuple)):
        return returned
    raise RegistryError(f"{hook}() returned {returned!r}; it returns a list of HookedComponent")


def _from_hook(kind: Kind, hook: str, item: object, origin: Origin) -> Component:
    if not isinstance(item, hookspecs.HookedComponent):
        raise RegistryError(f"{hook}() returned {item!r} in its list; each is a HookedComponent")
    for field in ("name", "target", "summary"):
        if not isinstance(getattr(item, field), str):
            raise RegistryError(f"{hook}(): the {field} of {item!r} is not text")
    check_name(kind, item.name, f"{hook}()")
    if ":" not in item.target:
        raise RegistryError(
            f"{hook}(): the target of {item.name!r} is {item.target!r}; write 'module:attribute'"
        )
    return Component(kind, item.name, origin, summary=item.summary, target=item.target)


def _read(group: str, entry: EntryPoint, origin: Origin) -> list[Component]:
    if group == HOOK_GROUP:
        with _fence(), contextlib.redirect_stdout(sys.stderr):
            return components_of_hooks(entry.load(), origin)
    if group == REGISTRY_GROUP:
        return [component for component, _ in read_layer(_fragment(entry.value), origin)]
    kind = COMPONENT_GROUPS[group]
    check_name(kind, entry.name, f"entry point in {group}")
    return [Component(kind, entry.name, origin, target=f"{entry.module}:{entry.attr}")]


def _fragment(value: str) -> Path:
    """The path behind `"package:file.toml"`, found without importing the package."""
    package, _, file = value.partition(":")
    top, *rest = package.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise RegistryError(f"the entry point names {value!r}, and there is no package {top!r}")
    for location in spec.submodule_search_locations:
        path = Path(location, *rest, file)
        if path.is_file():
            return path
    raise RegistryError(f"the entry point names {value!r}, and there is no such file")


def _allow_list() -> set[str] | None:
    value = os.environ.get("ZOO_PLUGINS")
    if value is None:
        return None
    return {normalised(name) for name in value.split(",") if name.strip()}


def normalised(distribution: str) -> str:
    """A distribution's name as packaging tools compare it."""
    return re.sub(r"[-_.]+", "-", distribution.strip()).lower()


def _reason(error: BaseException) -> str:
    if isinstance(error, (RegistryError, HeavyImportError)):
        return str(error)
    return f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _fence() -> Iterator[None]:
    """Refuse the first import of a deep-learning library while hook modules are imported.

    The refusal stands even if the module catches it. In a process that has torch already, there is
    nothing left to keep out.
    """
    fence = _Fence()
    sys.meta_path.insert(0, fence)
    try:
        yield
    finally:
        sys.meta_path.remove(fence)
    if fence.refused:
        raise fence.refused


class _Fence(importlib.abc.MetaPathFinder):
    refused: HeavyImportError | None = None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in _HEAVY:
            self.refused = HeavyImportError(
                f"the hook module imports {fullname!r}, which makes every listing slow; move what "
                "needs it to a module that only a component's target names"
            )
            raise self.refused
        return None
