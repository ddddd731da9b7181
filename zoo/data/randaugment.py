"""RandAugment's operations on uint8 pictures, drawn from a generator that the caller holds."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from jaxtyping import UInt8
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from zoo.augmentation import RandAugment

__all__ = ["OPERATIONS", "randaugment"]

STRENGTHS = 30
"""The greatest magnitude."""

_Operation = Callable[[Tensor, float], Tensor]


def _affine(
    image: Tensor,
    *,
    translate: tuple[int, int] = (0, 0),
    shear: tuple[float, float] = (0.0, 0.0),
    center: list[float] | None = None,
) -> Tensor:
    moved: Tensor = F.affine(
        image, angle=0.0, translate=list(translate), scale=1.0, shear=list(shear), center=center
    )
    return moved


def _slope(strength: float) -> float:
    return math.degrees(math.atan(0.3 * strength))


def _bits(strength: float) -> int:
    return round(8 - 4 * strength)


OPERATIONS: dict[str, tuple[_Operation, bool]] = {
    "identity": (lambda image, _: image, False),
    "shear_x": (lambda x, s: _affine(x, shear=(_slope(s), 0.0), center=[0.0, 0.0]), True),
    "shear_y": (lambda x, s: _affine(x, shear=(0.0, _slope(s)), center=[0.0, 0.0]), True),
    "translate_x": (
        lambda x, s: _affine(x, translate=(int(150 / 331 * x.shape[-1] * s), 0)),
        True,
    ),
    "translate_y": (
        lambda x, s: _affine(x, translate=(0, int(150 / 331 * x.shape[-2] * s))),
        True,
    ),
    "rotate": (lambda x, s: F.rotate(x, 30 * s), True),
    "brightness": (lambda x, s: F.adjust_brightness(x, 1 + 0.9 * s), True),
    "colour": (lambda x, s: F.adjust_saturation(x, 1 + 0.9 * s), True),
    "contrast": (lambda x, s: F.adjust_contrast(x, 1 + 0.9 * s), True),
    "sharpness": (lambda x, s: F.adjust_sharpness(x, 1 + 0.9 * s), True),
    "posterize": (lambda x, s: F.posterize(x, _bits(s)), False),
    "solarize": (lambda x, s: F.solarize(x, 255 * (1 - s)), False),
    "autocontrast": (lambda x, _: F.autocontrast(x), False),
    "equalize": (lambda x, _: F.equalize(x), False),
}
"""Each takes a picture and a strength in [-1, 1] ([0, 1] where the second item is false)."""


def randaugment(
    image: UInt8[Tensor, "3 height width"], settings: RandAugment, draw: random.Random
) -> UInt8[Tensor, "3 height width"]:
    """`settings.operations` operations, each drawn anew (https://arxiv.org/abs/1909.13719).

    The operations and their ranges are those of `torchvision.transforms.v2.RandAugment`, which
    draws from torch's global generator and so not the same in every thread and process.
    """
    names = list(OPERATIONS)
    for _ in range(settings.operations):
        operation, signed = OPERATIONS[names[int(draw.random() * len(names))]]
        sign = -1 if signed and draw.random() < 0.5 else 1
        image = operation(image, sign * settings.magnitude / STRENGTHS)
    return image
