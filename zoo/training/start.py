"""The model that training starts from: a recipe names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.assembly import build
from zoo.clip import CLIP
from zoo.errors import SpecError, ZooError
from zoo.folder import load
from zoo.folder.parts import parts_of
from zoo.recipe import Recipe
from zoo.weights.read import load_strictly

__all__ = ["take_start"]


def take_start(model: CLIP, recipe: Recipe) -> list[str]:
    """Give a model the weights of the recipe's `start`, in every part that has the same component.

    Returns:
        The paths of the parts that got some; none if the recipe has no start.

    Raises:
        ZooError: the start cannot be built or loaded, no part of it is in the model too, or one has
            other shapes; the message says that it was the start.
    """
    if recipe.start is None:
        return []
    try:
        return _take(model, recipe.start)
    except ZooError as error:
        error.args = (f"train.start: {error}",)
        raise


def _take(model: CLIP, name: str) -> list[str]:
    start = load(name) if Path(name, "zoo.json").is_file() else build(name)
    theirs = {path: part for path, part, _ in parts_of(start)}
    taken = []
    for path, part, _ in parts_of(model):
        if path in theirs and _component(model, path) == _component(start, path):
            load_strictly(part, theirs[path].state_dict(), f"{path} of {name}")
            taken.append(path)
    if not any(path.endswith((".encoder", ".head")) for path in taken):
        raise SpecError(
            f"{name!r} has no encoder and no head of the kind that this model has; name a model "
            "with the same components, or leave the start out"
        )
    return taken


def _component(model: CLIP, path: str) -> str:
    spec: Any = model.spec
    for word in path.split("."):
        spec = getattr(spec, word)
    return str(spec.name)
