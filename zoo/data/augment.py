"""Pictures as a network in training sees them: uint8, varied by a seed; normalised by the batch."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from os import PathLike
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from zoo.augmentation import Augmentation, ColourJitter, Crop, Erasing, RandAugment
from zoo.data.held import Held
from zoo.data.pictures import Box, open_picture, read_part
from zoo.data.randaugment import randaugment
from zoo.encoders.preprocess import Preprocess
from zoo.errors import DataError, SpecError

__all__ = [
    "Augmentation",
    "Augmenter",
    "ColourJitter",
    "Crop",
    "Erasing",
    "RandAugment",
    "normalise",
]

_TRIES = 10
_NEVER = 1 << 30


class Augmenter:
    """`(picture, seed)` to uint8 pixels: what an encoder sees of a picture, varied as the seed says.

    The seed alone decides, in any thread and process; torch's global generator is neither read nor
    moved. Without augmentation, `normalise` of it equals `preprocess(picture)` bit for bit. It can
    be pickled.

    Args:
        preprocess: the encoder's. One that is no `Preprocess` gives its own tensors, of floats,
            and cannot be augmented.

    Raises:
        SpecError: augmentation is asked for, and `preprocess` is no `Preprocess`.
    """

    def __init__(
        self,
        preprocess: Preprocess | Callable[[Image.Image], Tensor],
        augmentation: Augmentation | None = None,
    ) -> None:
        self.preprocess = preprocess
        self.augmentation = augmentation or Augmentation()
        if self.augmentation.active and not isinstance(preprocess, Preprocess):
            raise SpecError(
                "train.augmentation: the image encoder prepares pictures by a "
                f"{type(preprocess).__name__} of its own, not by a zoo.Preprocess, and so nobody "
                "knows where augmentation would go; leave it out, or describe the preparation as a "
                "zoo.Preprocess"
            )

    def __call__(
        self, picture: Image.Image | UInt8[Tensor, "3 height width"], seed: int
    ) -> UInt8[Tensor, "3 crop_height crop_width"] | Float[Tensor, ...]:
        """An RGB picture, prepared.

        Raises:
            DataError: it is neither a PIL image in RGB nor a uint8 tensor.
        """
        _require_rgb(picture)
        if not isinstance(self.preprocess, Preprocess):
            return self.preprocess(_as_pil(picture))
        crop, draw = self.augmentation.crop, random.Random(seed)
        if crop is None:
            pixels: Tensor = self.preprocess.pixels(_as_pil(picture))
        else:
            pixels = self.cut(picture, random_box(*_size(picture), crop.scale, crop.ratio, draw))
        return self._vary(pixels, draw)

    def read(
        self, picture: str | PathLike[str] | Held, seed: int
    ) -> UInt8[Tensor, "3 crop_height crop_width"] | Float[Tensor, ...]:
        """A picture's file, decoded and prepared: as `self(open_picture(picture), seed)`, but faster.

        Which part is cut is the same. With `crop.fast`, a JPEG of which less than half the pixels
        of a side would be left is decoded smaller to begin with.

        Raises:
            DataError: as `open_picture`.
        """
        crop = self.augmentation.crop
        if crop is None or not isinstance(self.preprocess, Preprocess):
            return self(open_picture(picture), seed)
        draw = random.Random(seed)
        height, width = self.preprocess.crop if crop.fast else (_NEVER, _NEVER)
        part, box = read_part(
            picture,
            lambda high, wide: random_box(high, wide, crop.scale, crop.ratio, draw),
            (height, width),
        )
        if not isinstance(part, Image.Image):
            return self._vary(self.cut(torch.from_numpy(part).permute(2, 0, 1), box), draw)
        return self._vary(self.cut(part, box), draw)

    def cut(
        self, picture: Image.Image | UInt8[Tensor, "3 height width"], box: Box
    ) -> UInt8[Tensor, "3 crop_height crop_width"]:
        """A part of a picture, resized to what the encoder sees."""
        assert isinstance(self.preprocess, Preprocess)
        mode = InterpolationMode(self.preprocess.interpolation)
        size = list(self.preprocess.crop)
        pixels: Tensor
        if mode in (InterpolationMode.LANCZOS, InterpolationMode.NEAREST):  # Pillow's own
            pixels = F.pil_to_tensor(F.resized_crop(_as_pil(picture), *box, size, mode))
            return pixels
        pixels = F.resized_crop(_as_tensor(picture), *box, size, mode, antialias=True)
        return pixels

    def _vary(self, pixels: Tensor, draw: random.Random) -> Tensor:
        chosen = self.augmentation
        if chosen.flip and draw.random() < chosen.flip:
            pixels = F.horizontal_flip(pixels)
        if chosen.colour_jitter is not None:
            pixels = _jitter(pixels, chosen.colour_jitter, draw)
        if chosen.randaugment is not None:
            pixels = randaugment(pixels, chosen.randaugment, draw)
        if chosen.greyscale and draw.random() < chosen.greyscale:
            pixels = F.rgb_to_grayscale(pixels, num_output_channels=3)
        if chosen.erasing is not None and draw.random() < chosen.erasing.probability:
            pixels = self._erase(pixels, chosen.erasing, draw)
        return pixels

    def _erase(self, pixels: Tensor, chosen: Erasing, draw: random.Random) -> Tensor:
        assert isinstance(self.preprocess, Preprocess)
        height, width = pixels.shape[-2:]
        top, left, high, wide = random_box(height, width, chosen.scale, chosen.ratio, draw)
        colour = torch.tensor([round(255 * mean) for mean in self.preprocess.mean])
        colour = colour.clamp(0, 255).to(torch.uint8).view(3, 1, 1)
        erased: Tensor = F.erase(pixels, top, left, high, wide, colour.expand(3, high, wide))
        return erased


def normalise(
    batch: UInt8[Tensor, "batch 3 height width"] | Float[Tensor, "batch ..."], preprocess: Any
) -> Float[Tensor, "batch ..."]:
    """What `Augmenter` gave, as the encoder's input: on the batch's device, in its memory format.

    Floats are of a preprocess that is no `Preprocess`, and are already what its encoder wants.
    """
    if not isinstance(preprocess, Preprocess):
        return batch
    return preprocess.normalise(batch)


def random_box(
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    draw: random.Random,
) -> Box:
    """A random part of a picture, as GoogLeNet's authors cut it.

    Its area is uniform in `scale`, its shape log-uniform in `ratio`; if ten draws do not fit into
    the picture, the largest part from the centre whose shape is allowed
    (https://arxiv.org/abs/1409.4842).
    """
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for _ in range(_TRIES):
        area = height * width * _uniform(draw, *scale)
        shape = math.exp(_uniform(draw, low, high))
        wide, tall = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < wide <= width and 0 < tall <= height:
            top = int(draw.random() * (height - tall + 1))
            left = int(draw.random() * (width - wide + 1))
            return top, left, tall, wide
    shape = min(max(width / height, ratio[0]), ratio[1])
    tall = min(height, max(round(width / shape), 1))
    wide = min(width, max(round(height * shape), 1))
    return (height - tall) // 2, (width - wide) // 2, tall, wide


def _uniform(draw: random.Random, low: float, high: float) -> float:
    return low + (high - low) * draw.random()


def _jitter(pixels: Tensor, chosen: ColourJitter, draw: random.Random) -> Tensor:
    steps: list[tuple[Callable[[Tensor, float], Tensor], float]] = []
    for change, amount in (
        (F.adjust_brightness, chosen.brightness),
        (F.adjust_contrast, chosen.contrast),
        (F.adjust_saturation, chosen.saturation),
    ):
        if amount:
            steps.append((change, 1 + _uniform(draw, -amount, amount)))
    if chosen.hue:
        steps.append((F.adjust_hue, _uniform(draw, -chosen.hue, chosen.hue)))
    while steps:
        change, amount = steps.pop(int(draw.random() * len(steps)))
        pixels = change(pixels, amount)
    return pixels


def _require_rgb(picture: Any) -> None:
    if isinstance(picture, Image.Image):
        if picture.mode != "RGB":
            raise DataError(
                f"a picture to augment is in RGB, not {picture.mode}; "
                "zoo.data.pictures.open_picture makes it so"
            )
    elif not (
        isinstance(picture, Tensor)
        and picture.dtype == torch.uint8
        and picture.ndim == 3
        and picture.shape[0] == 3
    ):
        said = (
            f"{picture.dtype} of shape {tuple(picture.shape)}"
            if isinstance(picture, Tensor)
            else repr(picture)
        )
        raise DataError(
            f"a picture to augment is a PIL image in RGB or a uint8 tensor (3, height, width), "
            f"not {said}"
        )


def _size(picture: Image.Image | Tensor) -> tuple[int, int]:
    if isinstance(picture, Tensor):
        return int(picture.shape[1]), int(picture.shape[2])
    return picture.height, picture.width


def _as_pil(picture: Image.Image | Tensor) -> Image.Image:
    if isinstance(picture, Tensor):
        return Image.fromarray(picture.permute(1, 2, 0).contiguous().cpu().numpy())
    return picture


def _as_tensor(picture: Image.Image | Tensor) -> Tensor:
    if isinstance(picture, Tensor):
        return picture
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)
