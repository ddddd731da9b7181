"""What is checked of the contracts (`zoo.protocols`) whenever a model is assembled."""

from typing import Any, Literal

import torch
from torch import nn

from zoo.clip import evaluating
from zoo.errors import PluginError, SpecError
from zoo.parameters import any_tensor
from zoo.protocols import ImageEncoder, TextEncoder

__all__ = ["check_encoder", "check_head", "in_dim_for"]

Side = Literal["image", "text"]
_CONTRACTS = {"image": ImageEncoder, "text": TextEncoder}


def check_encoder(side: Side, encoder: nn.Module, who: str) -> None:
    """Raise `PluginError` if what a factory built lacks an attribute of the contract."""
    attributes = list(_CONTRACTS[side].__annotations__)
    for attribute in attributes:
        if not hasattr(encoder, attribute):
            raise PluginError(
                f"{who} built {type(encoder).__name__} without {attribute!r}; every {side} encoder "
                f"has {', '.join(attributes)}"
            )


def in_dim_for(head_factory: Any, encoder: Any, where: str) -> int:
    """How many features a head gets from an encoder: pooled, or for each place if it takes tokens.

    Raises:
        SpecError: the head takes tokens, and the encoder gives none.
    """
    if not getattr(head_factory, "takes_tokens", False):
        return int(encoder.out_dim)
    if not hasattr(encoder, "forward_tokens"):
        raise SpecError(
            f"{where} takes features before pooling, and {type(encoder).__name__} gives none: it has "
            "no forward_tokens. Choose a head that takes pooled features, or another encoder"
        )
    device = any_tensor(encoder).device
    images = torch.zeros(1, 3, *encoder.preprocess.crop, device=device)
    try:
        with evaluating(encoder), torch.no_grad():
            tokens = encoder.forward_tokens(images)
    except SpecError as error:
        raise SpecError(f"{where} takes features before pooling, and {error}") from error
    if tokens.ndim != 3 or len(tokens) != 1:
        raise PluginError(
            f"{where}: {type(encoder).__name__}.forward_tokens gives (batch, places, channels), and "
            f"for one picture it gave {tuple(tokens.shape)}"
        )
    return int(tokens.shape[-1])


def check_head(head: nn.Module, in_dim: int, out_dim: int, who: str) -> None:
    """Raise `SpecError` if a head does not map `in_dim` features to `out_dim`."""
    misfit = f"{who} does not map the encoder's {in_dim} features to embedding_dim = {out_dim}"
    shape = (1, 4, in_dim) if getattr(head, "takes_tokens", False) else (1, in_dim)
    with evaluating(head), torch.no_grad():
        try:
            got = tuple(head(torch.zeros(shape)).shape)
        except RuntimeError as error:
            raise SpecError(f"{misfit}: it fails on them: {error}") from error
    if got != (1, out_dim):
        raise SpecError(f"{misfit}: its output for one of them has shape {got}")
