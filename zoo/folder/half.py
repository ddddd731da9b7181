"""Weights in half the space: float32 rounded to float16."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from zoo.folder.parts import parts_of

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.clip import CLIP

__all__ = ["halved", "round_to_half"]


def halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with float32 ones as float16; beyond 65504, which it cannot hold, they are infinite."""
    import torch

    return {
        name: tensor.half() if tensor.dtype == torch.float32 else tensor
        for name, tensor in state.items()
    }


def round_to_half(model: CLIP) -> None:
    """Round every part that is not frozen, in place, to what float16 can hold."""
    import torch

    with torch.no_grad():
        for _, part, frozen in parts_of(model):
            for tensor in part.state_dict().values():
                if not frozen and tensor.dtype == torch.float32:
                    tensor.copy_(tensor.half())
