"""Parameters of a model: groups for an optimizer, and where and in which type a module computes."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from zoo.blocks import by_depth, is_matrix
from zoo.errors import SpecError

__all__ = ["any_tensor", "parameter_groups"]


def any_tensor(module: nn.Module) -> Tensor:
    """One of floating point among its parameters and buffers; an empty one where it has none.

    Its device and type are those that the module takes its inputs in.
    """
    tensors = chain(module.parameters(), module.buffers())
    return next((each for each in tensors if each.is_floating_point()), torch.empty(0))


def parameter_groups(
    model: Any,
    learning_rate: float,
    weight_decay: float,
    *,
    backbone_scale: float = 1.0,
    layer_decay: float | None = None,
    loss_learning_rate: float | None = None,
) -> list[dict[str, Any]]:
    """See `CLIP.parameter_groups`."""
    if layer_decay is not None and not 0 < layer_decay <= 1:
        raise SpecError(f"layer_decay is more than 0 and at most 1, not {layer_decay}")
    if backbone_scale < 0:
        raise SpecError(f"backbone_scale is 0 or more, not {backbone_scale}")
    groups: dict[str, dict[str, Any]] = {}
    seen: set[nn.Parameter] = set()

    def add(name: str, parameters: Iterator[nn.Parameter], rate: float) -> None:
        for each in parameters:
            if not each.requires_grad or each in seen:
                continue
            seen.add(each)
            decays = is_matrix(each)
            full_name = f"{name}.{'decay' if decays else 'no_decay'}"
            group = {"name": full_name, "params": [], "lr": rate}
            group["weight_decay"] = weight_decay if decays else 0.0
            groups.setdefault(full_name, group)["params"].append(each)

    for side in ("image", "text"):
        tower = getattr(model, f"{side}_encoder")
        if tower is None:
            continue
        tower = getattr(tower, "whole", tower)  # one that is cut goes by the parts of the whole
        path, rate = f"{side}.encoder", learning_rate * backbone_scale
        if layer_decay is not None:
            depths = by_depth(tower.encoder)
            for depth, names in reversed(list(enumerate(depths))):
                below = max(len(depths) - 2 - depth, 0)
                for name in names:
                    module = tower.encoder.get_submodule(name)
                    where = f"{path}.{_place(depth, len(depths))}"
                    add(where, module.parameters(), rate * layer_decay**below)
            # Class tokens and positions, which stand in no module of their own, are of the stem.
            path, rate = f"{path}.stem", rate * layer_decay ** (len(depths) - 2)
        add(path, tower.encoder.parameters(), rate)
        add(f"{side}.head", tower.head.parameters(), learning_rate)
    if model.loss is not None:
        rate = learning_rate if loss_learning_rate is None else loss_learning_rate
        add("loss", model.loss.parameters(), rate)
    return list(groups.values())


def _place(depth: int, depths: int) -> str:
    return {0: "stem", depths - 1: "rest"}.get(depth, f"block_{depth}")
