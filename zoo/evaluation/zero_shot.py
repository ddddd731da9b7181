"""Zero-shot classification: pictures to the class whose texts they are nearest to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from zoo.clip import CLIP
from zoo.errors import DataError
from zoo.evaluation.classification import Classification, classification
from zoo.evaluation.embeddings import embed_texts
from zoo.evaluation.prompts import Prompts
from zoo.evaluation.ranking import check_embeds, tie_width
from zoo.recipe import Precision
from zoo.training.features import Progress

__all__ = ["SCALE", "class_embeds", "zero_shot"]

SCALE = 100.0
"""Factor on cosines before the softmax, as clip-benchmark has it; a trained model has its own."""

_BLOCK = 4096


def class_embeds(
    model: CLIP,
    classes: Sequence[str],
    prompts: Prompts,
    progress: Progress | None = None,
    *,
    precision: Precision = "auto",
) -> Float[Tensor, "classes dim"]:
    """A unit vector a class: the mean of its texts' unit vectors, normalised.

    Source: Radford et al. 2021, arXiv 2103.00020, section 3.1.4.

    Raises:
        DataError: there are no classes, or the texts of one cancel out.
    """
    texts = [text for name in classes for text in prompts.texts(name)]
    embeds = embed_texts(model, texts, progress, precision=precision)
    means = embeds.view(len(classes), len(prompts.templates), -1).mean(1)
    check_embeds(means, "classes")
    return F.normalize(means, dim=1)


def zero_shot(
    image_embeds: Float[Tensor, "pictures dim"],
    classes_embeds: Float[Tensor, "classes dim"],
    labels: Int[Tensor, " pictures"],
    classes: Sequence[str],
    *,
    scale: float = SCALE,
) -> Classification:
    """Choose for each picture the class of the nearest vector, by cosine.

    Args:
        labels: the right class of each picture, as a row of `classes`.
        scale: inverse temperature of the softmax; it decides on the calibration alone.

    Raises:
        DataError: an embedding has no direction, a label no class, or the scale is not positive.
    """
    if not scale > 0:
        raise DataError(f"the scale of a softmax is more than 0, not {scale}")
    check_embeds(image_embeds, "pictures")
    check_embeds(classes_embeds, "classes")
    columns = F.normalize(classes_embeds.float(), dim=1).T
    blocks = (
        scale * (F.normalize(block.float(), dim=1) @ columns)
        for block in torch.split(image_embeds, _BLOCK)
    )
    width = scale * tie_width(torch.float32)
    return classification(blocks, labels, classes, width=width)
