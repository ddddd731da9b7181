"""Weights in half the space: float32 rounded to float16."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from zoo.errors import WeightsError
from zoo.folder.parts import is_of_its_origin, parts_of
from zoo.weights.read import state_sha256

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.clip import CLIP

__all__ = ["halved", "round_to_half"]


def halved(state: Mapping[str, Tensor], path: str = "") -> dict[str, Tensor]:
    """Tensors with float32 ones as float16.

    Args:
        path: what they are of, for messages.

    Raises:
        WeightsError: a finite number is beyond what float16 can hold; names the tensor.
    """
    import torch

    made = {}
    for name, tensor in state.items():
        if tensor.dtype != torch.float32:
            made[name] = tensor
            continue
        made[name] = tensor.half()
        beyond = tensor[made[name].isinf() & tensor.isfinite()]
        if len(beyond):
            raise WeightsError(
                f"{path}{'.' if path else ''}{name}: holds {beyond[0].item():.6g}, and float16 ends at "
                f"{torch.finfo(torch.float16).max:,.0f}; keep it in float32 "
                '(train.keep = "fp32", or half=False in code)'
            )
    return made


def round_to_half(model: CLIP) -> None:
    """Round every part that is saved, in place, to what float16 can hold.

    Those are all but frozen ones that are as their origin has them.

    Raises:
        WeightsError: a finite number is beyond that; nothing was changed.
    """
    import torch

    states = [
        (path, part.state_dict())
        for path, part, frozen in parts_of(model)
        if not (frozen and is_of_its_origin(part, state_sha256(part)))
    ]
    rounded = [halved(state, path) for path, state in states]
    with torch.no_grad():
        for (_, state), half in zip(states, rounded, strict=True):
            for name, tensor in state.items():
                tensor.copy_(half[name])
