"""The model that training starts from: a recipe names it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

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

    Of several starts the encoders are averaged, and all else is the first's (model soup; Wortsman et al.
    2022, https://arxiv.org/abs/2203.05482). With a `start_share` below 1, an encoder's weights are put so
    far on the line from its own to the start's. A tower that was fine-tuned gently keeps more of what it
    knew that way, and is often better at both (WiSE-FT; Wortsman et al. 2022,
    https://arxiv.org/abs/2109.01903).

    Returns:
        The paths of the parts that got some; none if the recipe has no start.

    Raises:
        ZooError: a start cannot be built or loaded, no part of it is in the model too, one has
            other shapes, or starts with adapters are to be mixed; the message says that it was the start.
    """
    if recipe.start is None:
        return []
    try:
        return _take(model, recipe.starts, recipe.start_share)
    except ZooError as error:
        error.args = (f"train.start: {error}",)
        raise


def _take(model: CLIP, names: list[str], share: float) -> list[str]:
    starts = {name: _fitting(model, name, mixes=share != 1 or len(names) > 1) for name in names}
    taken = []
    for path, part, _ in parts_of(model):
        having = [name for name, parts in starts.items() if path in parts]
        if not having:
            continue
        averaged = having if path.endswith(".encoder") else having[:1]
        if path.endswith(".encoder") and len(having) < len(names):
            (without, *_) = [name for name in names if name not in having]
            raise SpecError(
                f"{without!r} has no {path} of the kind that {having[0]!r} has, so that they cannot be "
                "averaged; leave one out"
            )
        weights: Mapping[str, Tensor] = {}
        for count, name in enumerate(averaged, start=1):
            theirs = starts[name][path].state_dict()
            weights = _mixed(weights, theirs, 1 / count)
        if path.endswith(".encoder") and share != 1:
            weights = _mixed(part.state_dict(), weights, share)
        load_strictly(part, weights, f"{path} of {' and '.join(averaged)}")
        taken.append(path)
    return taken


def _fitting(model: CLIP, name: str, *, mixes: bool) -> dict[str, nn.Module]:
    """The parts of a start that have the same component as the model's at the same path."""
    start = load(name) if Path(name, "zoo.json").is_file() else build(name)
    theirs = {path: part for path, part, _ in parts_of(start)}
    if mixes and (adapted := [path for path in theirs if path.endswith(".adapters")]):
        raise SpecError(
            f"{name!r} has {adapted[0]}, which are beside the encoder's weights and not in them, so "
            "that its weights cannot be mixed; fold them in first with `merge_lora`"
        )
    ours = {path for path, *_ in parts_of(model)}
    parts = {
        path: part
        for path, part in theirs.items()
        if path in ours and _component(model, path) == _component(start, path)
    }
    if not any(path.endswith((".encoder", ".head")) for path in parts):
        raise SpecError(
            f"{name!r} has no encoder and no head of the kind that this model has; name a model "
            "with the same components, or leave the start out"
        )
    return parts


def _mixed(
    ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Tensors so far on the line from these to those; those that fit none of these stay as they are."""
    return {
        name: ours[name].lerp(each.to(ours[name]), share)
        if name in ours and ours[name].shape == each.shape and each.is_floating_point()
        else each
        for name, each in theirs.items()
    }


def _component(model: CLIP, path: str) -> str:
    spec: Any = model.spec
    for word in path.split("."):
        spec = getattr(spec, word)
    return str(spec.name)
