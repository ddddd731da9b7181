"""The grid: what is varied, as data, from a TOML file or from the command line."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from zoo.errors import SpecError, suggestion
from zoo.spec_layers import is_spec_file, read_table

__all__ = ["Grid", "Variation", "Varied", "grid_of", "is_grid_file", "read_grid", "variations"]

_LIKE_A_GRID = {"grid", "variation", "seeds", "set"}

Seed = Annotated[int, Field(ge=0, lt=2**32)]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Varied(_Data):
    """One variation that is listed by itself."""

    name: str = Field(min_length=1, description="What it is called in tables.")
    set: dict[str, JsonValue] = Field(default_factory=dict, description="Overrides of it alone.")


class Grid(_Data):
    """What `zoo compare` runs: every variation with every seed."""

    base: str = Field(min_length=1, description="A named model, or a .toml or .json spec.")
    data: str | None = Field(None, min_length=1, description="Of all, where --data is not given.")
    seeds: list[Seed] = Field([0], min_length=1, description="Of each variation.")
    set: dict[str, JsonValue] = Field(default_factory=dict, description="Overrides of all.")
    train: dict[str, JsonValue] = Field(
        default_factory=dict, description="The recipe of all, over the model's own."
    )
    grid: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="For each path a list of values: every combination is a variation. A value may "
        'be { label = "a word for it", set = { … } }, which sets several paths.',
    )
    variation: list[Varied] = Field(
        default_factory=list, description="Variations beside those of the grid."
    )


@dataclass(frozen=True)
class Variation:
    """A model of the comparison: what it changes, and what is said of it in tables."""

    name: str
    labels: Mapping[str, str]
    """For each axis of the grid, what this one has there; empty for one that is listed."""
    changes: Mapping[str, Any]
    """Overrides, by dotted path."""


def is_grid_file(path: str) -> bool:
    """Whether a file is a grid rather than a spec: by what stands in it."""
    return is_spec_file(path) and bool(_LIKE_A_GRID & read_table(Path(path), "grid").keys())


def read_grid(path: Path) -> Grid:
    """A grid file. A spec that `base` names is looked for beside it.

    Raises:
        SpecError: it cannot be read, or has something else in it; the message names the key.
    """
    data = read_table(path, "grid")
    base = data.get("base")
    if isinstance(base, str) and is_spec_file(base):
        data["base"] = str(path.parent / base)
    return grid_of(data, str(path))


def grid_of(data: Mapping[str, Any], source: str) -> Grid:
    """A grid from plain data.

    Raises:
        SpecError: a key is unknown, missing or of another kind, or a seed stands there twice.
    """
    try:
        made = Grid.model_validate(dict(data))
    except ValidationError as error:
        raise SpecError("\n".join(_fault(each, source) for each in error.errors())) from error
    twice = [seed for seed in made.seeds if made.seeds.count(seed) > 1]
    if twice:
        raise SpecError(f"seeds ({source}): {twice[0]} stands there twice, and would count twice")
    return made


def variations(grid: Grid, source: str = "the grid") -> list[Variation]:
    """All that a grid varies, in its order: combinations first, the last axis running fastest.

    Raises:
        SpecError: an axis has no list of values, there is nothing to vary, or two are called the same.
    """
    axes = dict(_axes(grid.grid, (), source))
    found = []
    for values in itertools.product(*axes.values()) if axes else ():
        changes: dict[str, Any] = {}
        for axis, value in zip(axes, values, strict=True):
            changes |= value["set"] if _is_labelled(value) else {axis: value}
        labels = {axis: _label(value) for axis, value in zip(axes, values, strict=True)}
        found.append(Variation(", ".join(labels.values()), labels, changes))
    found += [Variation(each.name, {}, each.set) for each in grid.variation]
    if not found:
        raise SpecError(
            f"{source}: nothing is varied; write a table [grid] with lists of values, or "
            "[[variation]] with a name and what it sets"
        )
    names = [each.name for each in found]
    for name in names:
        if names.count(name) > 1:
            raise SpecError(
                f"{source}: two variations are called {name!r}; give values a label of their own, as "
                'in { label = "wide", set = { "image.head.args.hidden_dim" = 2048 } }'
            )
    return found


def _axes(
    table: Mapping[str, Any], path: tuple[str, ...], source: str
) -> Iterator[tuple[str, list[Any]]]:
    """Paths with their values; `image.head = […]` without quotes is a table in a table."""
    for key, value in table.items():
        here = ".".join((*path, key))
        if isinstance(value, Mapping):
            yield from _axes(value, (*path, key), source)
        elif isinstance(value, list) and value:
            for each in value:
                _check_labelled(each, here, source)
            yield here, value
        else:
            raise SpecError(f"grid.{here} ({source}): a list of values, not {value!r}")


def _is_labelled(value: object) -> bool:
    return isinstance(value, Mapping) and value.keys() == {"label", "set"}


def _check_labelled(value: Any, path: str, source: str) -> None:
    if not _is_labelled(value):
        return
    if not isinstance(value["label"], str) or not isinstance(value["set"], Mapping):
        raise SpecError(
            f"grid.{path} ({source}): a label is a text and set is a table of paths, not {value!r}"
        )


def _label(value: Any) -> str:
    """A value in few words: `mlp-gelu hidden_dim=1024`."""
    if _is_labelled(value):
        return str(value["label"])
    if isinstance(value, Mapping) and "name" in value:
        args = value.get("args", {})
        return " ".join([str(value["name"]), *(f"{key}={args[key]}" for key in args)])
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _fault(error: Any, source: str) -> str:
    path = ".".join(str(part) for part in error["loc"])
    where = f"{path or 'the grid'} ({source})"
    if error["type"] == "missing":
        return f"{where}: missing, and required"
    if error["type"] == "extra_forbidden":
        model: Any = Varied if error["loc"][0] == "variation" else Grid
        keys: Sequence[str] = list(model.model_fields)
        key = str(error["loc"][-1])
        return (
            f"{where}: unknown key {key!r}; here belong {', '.join(keys)}.{suggestion(key, keys)}"
        )
    said = error["msg"]
    return f"{where}: {said[0].lower()}{said[1:]}, not {error['input']!r}"
