"""What every component must keep to, checked when a model is assembled."""

from typing import Literal

import torch
from torch import nn

from zoo.clip import evaluating
from zoo.errors import PluginError, SpecError

__all__ = ["ENCODER_ATTRIBUTES", "check_encoder", "check_head"]

ENCODER_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "image": ("out_dim", "preprocess"),
    "text": ("out_dim", "context_length", "tokenizer"),
}


def check_encoder(side: Literal["image", "text"], encoder: nn.Module, who: str) -> None:
    """Raise `PluginError` if what a factory built lacks an attribute of the contract."""
    for attribute in ENCODER_ATTRIBUTES[side]:
        if not hasattr(encoder, attribute):
            raise PluginError(
                f"{who} built {type(encoder).__name__} without {attribute!r}; every {side} encoder "
                f"has {', '.join(ENCODER_ATTRIBUTES[side])}"
            )


def check_head(head: nn.Module, in_dim: int, out_dim: int, who: str) -> None:
    """Raise `SpecError` if a head does not map `in_dim` features to `out_dim`."""
    misfit = f"{who} does not map the encoder's {in_dim} features to embedding_dim = {out_dim}"
    with evaluating(head), torch.no_grad():
        try:
            shape = tuple(head(torch.zeros(1, in_dim)).shape)
        except RuntimeError as error:
            raise SpecError(f"{misfit}: it fails on them: {error}") from error
    if shape != (1, out_dim):
        raise SpecError(f"{misfit}: its output for one of them has shape {shape}")
