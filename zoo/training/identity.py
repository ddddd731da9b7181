"""What a run is: all that its result follows from, as data, and how two of them differ."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from zoo.clip import CLIP
from zoo.errors import CheckpointError
from zoo.recipe import Recipe
from zoo.spec import ModelSpec
from zoo.training.ingredients import configs, written
from zoo.training.precision import fp32_kernels
from zoo.weights.read import state_sha256

__all__ = ["check_same", "code_of_parts", "identity", "numerics", "sha256_of_identity"]

_FREE = (
    "precision",  # the one that was chosen is compared
    "workers",
    "unreadable",
    "checkpoint.steps",
    "checkpoint.minutes",
    "checkpoint.keep",
    "checkpoint.save",
    "keep",
    "guards",
    "trackers",
)
"""Of a recipe, what may change when a run is resumed: the result does not follow from it."""
_SHOWN = 5
_MISSING = object()


def identity(
    *,
    spec: ModelSpec,
    recipe: Recipe,
    frozen: Mapping[str, str],
    teacher: nn.Module | None,
    data: Mapping[str, Any],
    processes: int,
    device: str,
    precision: str,
) -> dict[str, Any]:
    """All of it.

    Args:
        recipe: with everything that was left open.
        frozen: a hash of the weights that stand still, part by part.
        data: for each split what tells it from others.
    """
    asked = recipe.model_dump(mode="json")
    for path in _FREE:
        *above, last = path.split(".")
        table = asked
        for name in above:
            table = table[name]
        del table[last]
    return {
        "train": asked,
        "spec": {
            key: value for key, value in spec.model_dump(mode="json").items() if key != "train"
        },
        "frozen": dict(frozen),
        "teacher": None if teacher is None else state_sha256(teacher),
        "data": dict(data),
        "processes": processes,
        "device": device,
        "precision": precision,
    }


def sha256_of_identity(of: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()


def numerics() -> dict[str, Any]:
    """What the last bits of a result may depend on besides."""
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "processor": torch.backends.cpu.get_cpu_capability(),
        **fp32_kernels(),
    }


def code_of_parts(model: CLIP) -> dict[str, str]:
    """For each part, by its path, a hash of its code, where that is in files, and of its configs."""
    towers: Any = {"image": model.image_encoder, "text": model.text_encoder}
    parts = {"loss": model.loss}
    for side, tower in towers.items():
        whole = getattr(tower, "whole", tower)
        parts |= {f"{side}.encoder": whole.encoder, f"{side}.head": whole.head}
    return {
        path: hashlib.sha256(f"{written(part)} {configs(part)}".encode()).hexdigest()
        for path, part in parts.items()
        if part is not None
    }


def check_same(then: Mapping[str, Any], now: Mapping[str, Any], where: str) -> None:
    """Raise unless a run is the one that was begun.

    Raises:
        CheckpointError: says what differs.
    """
    found = list(_differences(then, now))
    if not found:
        return
    said = [_in_words(path, *values) for path, *values in found[:_SHOWN]]
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    raise CheckpointError(
        f"{where}: cannot be resumed, since it would not be the run that was begun: "
        f"{'; '.join(said)}{more}. Put it back as it was, or begin another run in another folder; with "
        "train.start it begins with this one's weights"
    )


def _differences(then: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in [*then, *(key for key in now if key not in then)]:
            below = f"{path}.{key}" if path else str(key)
            yield from _differences(then.get(key, _MISSING), now.get(key, _MISSING), below)
    elif then != now:
        yield path, then, now


def _in_words(path: str, then: Any, now: Any) -> str:
    first, _, rest = path.partition(".")
    if first == "frozen":
        return f"the weights of {rest}, which do not train, are others"
    if first == "teacher":
        return "the weights of the teacher are others"
    if first == "data":
        split, _, what = rest.rpartition(".")
        if what in ("captions", "pictures", "content", "columns"):
            return f"the {what} of the split {split!r} are others"
        if what in ("split", "block", "seed"):
            path = f"the {what} of the data {split!r}"
        else:
            path = f"the number of {what} of the split {split!r}" if split else f"the data {rest!r}"
    elif first == "spec":
        path = rest
    return f"{path} was {_shown(then)} and is {_shown(now)}"


def _shown(value: Any) -> str:
    return "not there" if value is _MISSING else json.dumps(value)
