"""From a vector per token to a vector per text, and which way a model wants it."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from zoo.errors import ArgumentError, DataError, WeightsError
from zoo.weights.hub import HubFiles, read_json

__all__ = ["Pooling", "default_pooling", "pool"]

Pooling = Literal["mean", "cls", "last", "eos"]

_SAID: dict[str, Pooling] = {
    "mean": "mean",
    "cls": "cls",
    "lasttoken": "last",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}
"""What sentence-transformers calls them."""


def pool(
    states: Float[Tensor, "batch length width"],
    input_ids: Int[Tensor, "batch length"],
    attention_mask: Int[Tensor, "batch length"],
    pooling: Pooling,
    eos_token_id: int | None = None,
) -> Float[Tensor, "batch width"]:
    """One vector per text, wherever its padding is.

    Args:
        pooling: `mean` over the tokens that are not padding; `cls`, the first of them; `last`, the
            last of them; `eos`, the first end token.

    Raises:
        DataError: a text has no end token to pool at; not looked for in compiled or exported code.
    """
    if pooling == "mean":
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        return (states * mask).sum(1) / mask.sum(1).clamp(min=1)
    if pooling == "eos":
        ends = (input_ids == eos_token_id) & (attention_mask > 0)
        if not torch.compiler.is_compiling() and not ends.any(1).all():
            row = int(ends.any(1).int().argmin())
            raise DataError(
                f"input_ids: row {row} has no end token ({eos_token_id}), and the encoder pools there; "
                "tokenize with the encoder's own tokenizer"
            )
        position = ends.int().argmax(1)
    elif pooling == "cls":
        position = attention_mask.int().argmax(1)
    else:
        steps = torch.arange(attention_mask.shape[1], device=states.device)
        position = (attention_mask * steps).argmax(1)
    return states[torch.arange(states.shape[0], device=states.device), position]


def default_pooling(files: HubFiles, model_type: str) -> Pooling:
    try:
        said = files.optional("1_Pooling/config.json")
    except WeightsError as error:
        raise WeightsError(f"{error}. Say how it pools with the argument pooling") from error
    if said is not None:
        modes = read_json(said)
        # One key in what its newer versions save, a flag for each way in what older ones did.
        named = modes.get("pooling_mode") or [
            key for key, value in modes.items() if key.startswith("pooling_mode_") and value is True
        ]
        names = [named] if isinstance(named, str) else list(named)
        if len(names) != 1 or names[0] not in _SAID:
            raise ArgumentError(
                f"{said}: pools in a way that zoo has no name for; choose the argument pooling"
            )
        return _SAID[names[0]]
    kind = model_type  # BERT and its kin have a causal class beside the masked one
    causal = (
        kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    )
    return "last" if causal else "mean"
