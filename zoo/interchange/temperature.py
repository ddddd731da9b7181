"""A checkpoint's temperature in a loss of zoo's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.clip import CLIP

__all__ = ["loss_for", "set_temperature"]


def loss_for(logit_scale: Tensor) -> dict[str, Any]:
    """A loss, for a spec, that may have this logarithm of the inverse temperature."""
    if logit_scale.numel() != 1:
        raise WeightsError(f"logit_scale has shape {tuple(logit_scale.shape)}, and is one number")
    scale = logit_scale.float().exp().item()
    if not 0 < scale < 1e6:
        raise WeightsError(f"logit_scale is {logit_scale.item()}, which is no temperature")
    # A little more than the scale, which float32 may round up.
    args = {"temperature": 1 / scale, "max_scale": max(100.0, scale * 1.001)}
    return {"name": "info-nce", "args": args}


def set_temperature(model: CLIP, checkpoint: Mapping[str, Tensor]) -> None:
    """Set it to the last bit, and keep what the checkpoint said; there is a bias in SigLIP's."""
    loss: Any = model.loss
    loss.logit_scale.data.copy_(checkpoint["logit_scale"].reshape(()))
    bias = checkpoint.get("logit_bias")
    if bias is not None and bias.numel() != 1:
        raise WeightsError(f"logit_bias has shape {tuple(bias.shape)}, and is one number")
    model.provenance["loss"]["checkpoint"] = {
        name: checkpoint[name].float().item()
        for name in ("logit_scale", "logit_bias")
        if name in checkpoint
    }
