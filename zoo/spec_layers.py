"""Specs before they are checked: plain data from a name, a dict or a file, laid over one another."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from zoo.errors import RegistryError, SpecError, UnknownNameError
from zoo.registry import Catalog, Component
from zoo.registry.deprecation import warn_if_deprecated

__all__ = ["Layered", "is_spec_file", "layers_of", "read_table"]

_REFS = (("image", "encoder"), ("image", "head"), ("text", "encoder"), ("text", "head"), ("loss",))
_NAMED = (("train", "optimizer"), ("train", "schedule"))
_MODES = (("image", "train"), ("text", "train"))
_IN_PLACE_OF = {"train.steps": "epochs", "train.epochs": "steps"}


@dataclass(frozen=True)
class Layered:
    """Spec data, and for each path in it the source that set it."""

    data: dict[str, Any]
    sources: dict[str, str]

    def source_of(self, path: str) -> str:
        """The file, named model or override that a path came from; for a missing one, its parent's."""
        while path:
            if path in self.sources:
                return self.sources[path]
            path = path.rpartition(".")[0]
        return self.sources.get("", "spec")

    def over(self, patch: Mapping[str, Any], source: str) -> Layered:
        """This data with another layer on top.

        Tables merge key by key. A component that gets another name drops the arguments meant for
        the former one, and an encoder that does drops its weights tag too. So does another train mode.
        """
        data, sources = dict(self.data), dict(self.sources)
        _merge(data, _normalised(patch), (), source, sources)
        sources.setdefault("", source)
        return Layered(data, sources)

    def changed(self, overrides: Mapping[str, Any], source: str) -> Layered:
        """This data with dotted paths set to values.

        Raises:
            SpecError: a path is not one, or goes into what another one sets.
        """
        return self.over(_patch(overrides), source)


def layers_of(
    source: str | PathLike[str] | Mapping[str, Any],
    names: Catalog,
    overrides: Mapping[str, Any] | None = None,
    recipe: str | PathLike[str] | None = None,
) -> Layered:
    """The data of a named model, a dict, or a `.toml` or `.json` file, with `base` followed.

    Warns with `DeprecatedNameWarning`, once, if a model on the way is deprecated.

    Args:
        overrides: dotted paths to values, such as `{"image.head.args.hidden_dim": 1024}`.
        recipe: a file with the table `train`.

    Raises:
        SpecError: a file cannot be read or is of another kind, or `base` goes round.
        UnknownNameError: there is no such model; the message has the nearest name.
    """
    if overrides is not None and not isinstance(overrides, Mapping):
        raise SpecError(
            'overrides map dotted paths to values, as in {"image.head": "linear"}, and are not a '
            f"{type(overrides).__name__}"
        )
    if isinstance(source, Mapping):
        first, layered = source.get("base"), _based(dict(source), "spec", names, ())
    elif is_spec_file(source):
        path = Path(source)
        data = {"name": path.stem, **read_table(path)}
        first, layered = data.get("base"), _based(data, str(path), names, ())
    else:
        first = _model_name(source)
        layered = _named(first, names, ())
    warn_if_deprecated(_way(first, names))
    if recipe is not None:
        layered = layered.over(_recipe(recipe), str(recipe))
    return layered.changed(overrides, "overrides") if overrides else layered


def _model_name(source: object) -> str:
    if not isinstance(source, str):
        raise SpecError(f"a model is a name, a spec, a dict or a file, not {source!r}")
    if _is_file(Path(source, "zoo.json")):
        raise SpecError(f"{source}: this is a saved model; open it with zoo.load({source!r})")
    if _is_file(Path(source)):
        raise SpecError(f"{source}: a spec file ends in .toml or .json")
    return source


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as of a name too long for any file
        return False


def is_spec_file(source: object) -> bool:
    """Whether this names a spec file rather than a registered model."""
    return isinstance(source, PathLike) or str(source).endswith((".toml", ".json"))


def _way(name: str | None, names: Catalog) -> Iterator[Component]:
    """The models from this one down through `base`."""
    while name is not None:
        component = names.find("models", name).component
        yield component
        name = (component.spec or {}).get("base")


def _named(name: str, names: Catalog, trail: tuple[str, ...]) -> Layered:
    component = names.find("models", name).component
    label = f"model {component.name!r} of {component.origin}"
    data = {**(component.spec or {}), "name": component.name, "summary": component.summary}
    if component.trained is not None:
        data["trained"] = name
    return _based(data, label, names, trail)


def _based(data: dict[str, Any], source: str, names: Catalog, trail: tuple[str, ...]) -> Layered:
    data.pop("$schema", None)  # editors put it there
    base = data.pop("base", None)
    if base is None:
        return Layered({}, {}).over(data, source)
    if not isinstance(base, str):
        raise SpecError(f"base ({source}): the name of a model, not {base!r}")
    if base in trail:
        raise RegistryError(f"base ({source}) goes round: {' -> '.join([*trail, base])}")
    data.setdefault("name", None)
    data.setdefault("summary", "")
    try:
        below = _named(base, names, (*trail, base))
    except UnknownNameError as error:
        error.args = (f"base ({source}): {error}",)
        raise
    return below.over(data, source)


def read_table(path: Path, what: str = "spec") -> dict[str, Any]:
    """The table in a .toml or .json file; `what` it is meant to be, for messages.

    Raises:
        SpecError: it cannot be read, or holds no table.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{path}: not valid {path.suffix[1:].upper()}: {error}") from error
    if not isinstance(data, dict):
        raise SpecError(f"{path}: a {what} is a table, not {type(data).__name__}")
    return data


def _recipe(file: object) -> dict[str, Any]:
    if not isinstance(file, (str, PathLike)):
        raise SpecError(
            f"recipe: a .toml or .json file with the table [train], not {file!r}; what is no file goes "
            'into overrides, as in {"train.epochs": 3}'
        )
    path = Path(file)
    if not is_spec_file(str(path)):
        raise SpecError(f"{path}: a recipe is a .toml or .json file")
    data = read_table(path)
    if set(data) != {"train"}:
        found = ", ".join(sorted(set(data) - {"train"})) or "nothing"
        raise SpecError(
            f"{path}: a recipe has the table [train] and no other; here is {found}. A file with a "
            "whole model is given as the model itself"
        )
    return data


def _patch(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted paths as one layer; the order in which they are given does not matter."""
    patch: dict[str, Any] = {}
    for dotted in sorted(overrides, key=lambda path: str(path).count(".")):
        parts = dotted.split(".") if isinstance(dotted, str) else [""]
        if not all(parts):
            raise SpecError(
                f"override {dotted!r}: a path is names joined by dots, such as image.head.name"
            )
        if parts[0] == "base":
            raise SpecError("override 'base': overrides change a model; name another one instead")
        table = patch
        for part in parts[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise SpecError(
                    f"override {dotted!r} goes into {part!r}, which another override sets"
                )
        table[parts[-1]] = deepcopy(overrides[dotted])
        patch = _normalised(patch)
    return patch


def _normalised(patch: Mapping[str, Any]) -> dict[str, Any]:
    """The same data with every bare name of a component, optimizer or schedule written as a table."""
    data = {
        key: dict(value) if isinstance(value, Mapping) else value for key, value in patch.items()
    }
    for *tower, key in (*_REFS, *_NAMED):
        table: Any = data
        for part in tower:
            table = table.get(part)
        if isinstance(table, dict) and isinstance(table.get(key), str):
            table[key] = {"name": table[key]}
    return data


def _merge(
    data: dict[str, Any],
    patch: Mapping[str, Any],
    path: tuple[str, ...],
    source: str,
    sources: dict[str, str],
) -> None:
    for key, value in patch.items():
        here = (*path, str(key))
        other = _IN_PLACE_OF.get(".".join(here))
        if other is not None and other not in patch:
            data.pop(other, None)
        old = data.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            if here in _REFS and value.get("name", old.get("name")) != old.get("name"):
                old = {}
                _forget(sources, here)
                if key == "encoder" and "weights" not in patch:
                    data.pop("weights", None)
            if here in _NAMED and value.get("name", old.get("name")) != old.get("name"):
                old = {each: old[each] for each in old if each != "args"}
                _forget(sources, (*here, "args"))
            if here in _MODES and value.keys() != old.keys():
                old = {}  # another mode: the former one's settings are not its own
                _forget(sources, here)
            merged = dict(old)
            _merge(merged, value, here, source, sources)
            data[key] = merged
        else:
            data[key] = value
        for dotted in _paths(here, value):
            sources[dotted] = source


def _forget(sources: dict[str, str], path: tuple[str, ...]) -> None:
    stem = ".".join(path)
    for dotted in [each for each in sources if each.startswith(f"{stem}.")]:
        del sources[dotted]


def _paths(path: tuple[str, ...], value: object) -> Iterator[str]:
    yield ".".join(path)
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _paths((*path, str(key)), inner)
