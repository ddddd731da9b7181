"""The models that training starts from: a recipe names them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

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
    2022, https://arxiv.org/abs/2203.05482). A head that was solved is taken if its arguments are the same
    and no encoder is mixed, and else solved anew. With a `start_share` below 1, an encoder's weights are
    put so far on the line from its own to the start's. A tower that was fine-tuned gently keeps more of
    what it knew that way, and is often better at both (WiSE-FT; Wortsman et al. 2022,
    https://arxiv.org/abs/2109.01903).

    Returns:
        The paths of the parts that got some; none if the recipe has no start.

    Raises:
        ZooError: a start cannot be built or loaded, no part of it is in the model too, one has
            other shapes, adapters would be lost, or its heads leave nothing to solve and to train; the
            message says that it was the start.
    """
    if recipe.start is None:
        return []
    try:
        return _take(model, recipe.starts, recipe.start_share)
    except ZooError as error:
        error.args = (f"train.start: {error}",)
        raise


def _take(model: CLIP, names: list[str], share: float) -> list[str]:
    mixes = share != 1 or len(names) > 1
    starts = {name: _fitting(model, name, mixes=mixes) for name in names}
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
        own = {name: tensor.clone() for name, tensor in part.state_dict().items()}
        mean: dict[str, Tensor] = {}
        for count, name in enumerate(averaged, start=1):
            theirs = starts[name][path].state_dict()
            load_strictly(part, theirs, f"{path} of {name}")  # each has to fit
            mean = _mixed(mean, theirs, 1 / count)
        if path.endswith(".encoder") and mixes:
            load_strictly(part, _mixed(own, mean, share), f"{path} of {' and '.join(averaged)}")
        taken.append(path)
    heads = [tower.head for tower in (model.image_encoder, model.text_encoder) if tower is not None]
    if not model.get_trainable_parameters() and all(
        getattr(head, "fitted", False) for head in heads
    ):
        raise SpecError(
            "its heads were solved, and nothing else of this model trains; with other arguments, such as "
            "image.head.args.landmarks and text.head.args.landmarks, they are solved anew"
        )
    return taken


def _fitting(model: CLIP, name: str, *, mixes: bool) -> dict[str, Any]:
    """The parts of a start that have the same component as the model's at the same path."""
    start = load(name) if Path(name, "zoo.json").is_file() else build(name)
    ours = {path for path, *_ in parts_of(model)}
    theirs = {path: part for path, part, _ in parts_of(start)}
    parts = {
        path: part
        for path, part in theirs.items()
        if path in ours
        and _component(model, path) == _component(start, path)
        and not (hasattr(part, "fit") and (mixes or _args(model, path) != _args(start, path)))
    }
    for path in theirs:
        encoder = path.replace(".adapters", ".encoder")
        if path.endswith(".adapters") and encoder in parts and (mixes or path not in parts):
            raise SpecError(
                f"{name!r} has {path}, without which its {encoder} is not what was trained; fold them in "
                "first with `merge_lora`"
            )
    if not any(path.endswith((".encoder", ".head")) for path in parts):
        raise SpecError(
            f"{name!r} has no encoder and no head of the kind that this model has; name a model "
            "with the same components, or leave the start out"
        )
    return parts


def _mixed(
    ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Tensors so far on the line from these to those; those that these have not, and counts, stay."""
    return {
        name: ours[name].lerp(each.to(ours[name]), share)
        if name in ours and each.is_floating_point()
        else each
        for name, each in theirs.items()
    }


def _component(model: CLIP, path: str) -> str:
    """The name of a part's component; adapters are of their encoder."""
    return str(_spec_of(model, path.replace(".adapters", ".encoder")).name)


def _args(model: CLIP, path: str) -> Any:
    return _spec_of(model, path).args


def _spec_of(model: CLIP, path: str) -> Any:
    spec: Any = model.spec
    for word in path.split("."):
        spec = getattr(spec, word)
    return spec
