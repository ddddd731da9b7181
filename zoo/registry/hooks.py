"""What one hook module offers: the heads and losses that its hooks return, checked one by one."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence

import pluggy

from zoo.errors import RegistryError, suggestion
from zoo.registry import hookspecs
from zoo.registry.component import Component, Kind, Origin, check_name, one_line

__all__ = ["HEAVY", "HOOKS", "LONGEST", "MOST", "components_of_hooks"]

HEAVY = frozenset(
    {"torch", "torchvision", "timm", "transformers", "tensorflow", "jax", "open_clip"}
)
"""Libraries that a hook module may not import, because every listing would wait for them."""
HOOKS: dict[str, Kind] = {
    "zoo_projection_heads": "projection_heads",
    "zoo_losses": "losses",
}
MOST = 1000
"""Components that one hook may return."""
LONGEST = 500
"""Characters of a name, a target or a summary."""

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 200


def components_of_hooks(plugin: object, origin: Origin) -> list[Component]:
    """The heads and losses that one hook module offers.

    The module gets a plugin manager of its own, so that its error is its own too.

    Raises:
        RegistryError: it has no hook or an unknown one, forgot the mark, or returns the wrong thing.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise RegistryError(f"{error}; the hooks are {', '.join(HOOKS)}") from error
    _check_marks(plugin, bool(manager.get_hookcallers(plugin)))
    components = []
    for hook, kind in HOOKS.items():
        caller = getattr(manager.hook, hook)
        if not caller.get_hookimpls():
            continue
        returned = caller()
        if not returned:
            raise RegistryError(f"{hook}() returned None; it returns a list of HookedComponent")
        for answer in returned:
            components += [_component(kind, hook, item, origin) for item in _items(hook, answer)]
    return components


def _check_marks(plugin: object, has_hooks: bool) -> None:
    """Refuse a module whose hooks would never be called, which nobody would notice."""
    for hook in HOOKS:
        function = getattr(plugin, hook, None)
        marks = (f"{hookspecs.PROJECT}_impl", f"{hookspecs.PROJECT}_spec")
        if callable(function) and not any(hasattr(function, mark) for mark in marks):
            raise RegistryError(
                f"{hook}() is not marked as a hook; write @hookimpl above it (from zoo import hookimpl)"
            )
    if not has_hooks:
        near = "".join(suggestion(name, HOOKS) for name in dir(plugin) if name.startswith("zoo_"))
        raise RegistryError(
            f"the hook module has no hook; define {' or '.join(f'{hook}()' for hook in HOOKS)}, "
            f"marked with @hookimpl (from zoo import hookimpl).{near}"
        )


def _items(hook: str, returned: object) -> Sequence[object]:
    if not isinstance(returned, (list, tuple)):
        shown = _short.repr(returned)
        raise RegistryError(f"{hook}() returned {shown}; it returns a list of HookedComponent")
    if len(returned) > MOST:
        raise RegistryError(
            f"{hook}() returned {len(returned)} components, and {MOST} is the limit; a family "
            "('name/*') takes the rest of the name as an argument"
        )
    return returned


def _component(kind: Kind, hook: str, item: object, origin: Origin) -> Component:
    if not isinstance(item, hookspecs.HookedComponent):
        shown = _short.repr(item)
        raise RegistryError(f"{hook}() returned {shown} in its list; each is a HookedComponent")
    fields = {}
    for field in ("name", "target", "summary", "deprecated"):
        value = getattr(item, field)
        if not isinstance(value, str):
            raise RegistryError(f"{hook}(): the {field} of {_short.repr(item)} is not text")
        if len(value) > LONGEST and field in ("name", "target"):
            raise RegistryError(
                f"{hook}(): the {field} {_short.repr(value)} is longer than {LONGEST} characters"
            )
        fields[field] = str.__str__(value)
    check_name(kind, fields["name"], f"{hook}()")
    return Component(
        kind,
        fields["name"],
        origin,
        summary=one_line(fields["summary"]),
        target=fields["target"],
        deprecated=one_line(fields["deprecated"]),
    )
