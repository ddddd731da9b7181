"""Pictures and texts to embeddings, through the kept features of frozen encoders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zoo.clip import CLIP, Tower, evaluating
from zoo.data.held import Held
from zoo.errors import TowerError
from zoo.parameters import any_tensor
from zoo.recipe import Precision
from zoo.training.features import Features, Progress, image_features, text_features

__all__ = ["check_both_towers", "embed_pictures", "embed_texts", "project"]


def embed_pictures(
    model: CLIP,
    pictures: Sequence[Path | Held],
    progress: Progress | None = None,
    *,
    precision: Precision = "auto",
) -> Float[Tensor, "count dim"]:
    """Unit vectors of picture files, in eval mode, on the CPU.

    Raises:
        DataError: a picture cannot be read; the message names it.
        TowerError: the model has no image tower.
    """
    if model.image_encoder is None:
        raise TowerError("this evaluation takes the image tower; build the model with it")
    features = image_features(model, pictures, progress, precision=precision)
    return project(model.image_encoder, features)


def embed_texts(
    model: CLIP,
    texts: Sequence[str],
    progress: Progress | None = None,
    *,
    precision: Precision = "auto",
) -> Float[Tensor, "count dim"]:
    """Unit vectors of texts, in eval mode, on the CPU; equal texts are embedded once.

    Raises:
        TowerError: the model has no text tower.
    """
    if model.text_encoder is None:
        raise TowerError("this evaluation takes the text tower; build the model with it")
    once = list(dict.fromkeys(texts))
    rows = {text: row for row, text in enumerate(once)}
    features = text_features(model, once, progress, precision=precision)
    return project(model.text_encoder, features)[[rows[text] for text in texts]]


def project(tower: Tower, features: Features) -> Float[Tensor, "count dim"]:
    """Features of an encoder through the head of its tower, in eval mode, on the CPU."""
    head: Any = tower
    some = any_tensor(tower)
    with evaluating(tower), torch.no_grad():
        embeds = [
            head.project(features[rows].to(some.device, some.dtype)).float().cpu()
            for rows in torch.split(torch.arange(len(features)), 4096)
        ]
    return torch.cat(embeds)


def check_both_towers(model: CLIP) -> None:
    """Refuse half a model.

    Raises:
        TowerError: it has one tower.
    """
    if model.image_encoder is None or model.text_encoder is None:
        raise TowerError("retrieval takes both towers; build the model with both")
