"""A checkpoint's temperature, and SigLIP's bias, in a loss of zoo's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.clip import CLIP

__all__ = ["loss_for", "set_temperature"]


def loss_for(checkpoint: Mapping[str, Tensor], *, sigmoid: bool = False) -> dict[str, Any]:
    """A loss, for a spec, that may have a checkpoint's `logit_scale`, the inverse temperature's logarithm.

    Args:
        sigmoid: for SigLIP's loss, with the checkpoint's `logit_bias`.

    Raises:
        WeightsError: they are not one number each, or no temperature and bias.
    """
    scale = _number(checkpoint, "logit_scale").exp()
    if not 0 < scale < 1e6:
        raise WeightsError(
            f"logit_scale is {checkpoint['logit_scale'].item()}, which is no temperature"
        )
    args = {"temperature": 1 / scale.item()}
    if sigmoid:
        bias = _number(checkpoint, "logit_bias")
        if not bias.isfinite():
            raise WeightsError(f"logit_bias is {bias.item()}, which is no bias")
        return {"name": "siglip", "args": {**args, "bias": bias.item()}}
    # A little more than the scale, which float32 may round up.
    return {"name": "info-nce", "args": {**args, "max_scale": max(100.0, scale.item() * 1.001)}}


def set_temperature(model: CLIP, checkpoint: Mapping[str, Tensor]) -> None:
    """Set what the loss has of them to the last bit, and keep what the checkpoint said."""
    loss: Any = model.loss
    said = {
        name: _number(checkpoint, name)
        for name in ("logit_scale", "logit_bias")
        if name in checkpoint
    }
    for name, value in said.items():
        if hasattr(loss, name):
            getattr(loss, name).data.copy_(value)
    model.provenance["loss"]["checkpoint"] = {name: value.item() for name, value in said.items()}


def _number(checkpoint: Mapping[str, Tensor], name: str) -> Tensor:
    tensor = checkpoint[name]
    if tensor.numel() != 1:
        raise WeightsError(f"{name} has shape {tuple(tensor.shape)}, and is one number")
    return tensor.float().reshape(())
