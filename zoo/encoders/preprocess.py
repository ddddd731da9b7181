"""How an image encoder wants its pictures, as data that travels with the weights."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, float32
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from zoo.errors import SpecError

__all__ = ["Preprocess"]

_LARGEST = 16_384


@dataclass(frozen=True)
class Preprocess:
    """Resize, crop from the centre, scale to [0, 1], normalise.

    Args:
        resize: pixels of the shorter side after resizing, or (height, width) for both sides.
        crop: (height, width) in pixels of what the encoder sees.
        interpolation: how to resize.
        mean: per channel, subtracted after scaling to [0, 1].
        std: per channel, divided by.
    """

    resize: int | tuple[int, int]
    crop: tuple[int, int]
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        """Refuse what no picture can be prepared by.

        Raises:
            SpecError: says what is out of bounds.
        """
        for name in ("resize", "crop"):
            said = getattr(self, name)
            for side in (said,) if isinstance(said, int) else said:
                if not 0 < side <= _LARGEST:
                    raise SpecError(f"{name}: {side} is not 1 to {_LARGEST} pixels")
        for name, least in (("mean", -math.inf), ("std", 0.0)):
            for value in getattr(self, name):
                if not (math.isfinite(value) and value > least):
                    above = " above 0" if name == "std" else ""
                    raise SpecError(f"{name}: {value} is not a finite number{above}")

    def __call__(self, picture: Image.Image) -> Float[Tensor, "3 height width"]:
        """An RGB picture as the encoder's input."""
        return self.normalise(self.pixels(picture))

    def pixels(self, picture: Image.Image) -> UInt8[Tensor, "3 height width"]:
        """An RGB picture, resized and cropped."""
        size = [self.resize] if isinstance(self.resize, int) else list(self.resize)
        mode = InterpolationMode(self.interpolation)
        resized = F.resize(picture, size, interpolation=mode, antialias=True)
        pixels: Tensor = F.pil_to_tensor(F.center_crop(resized, list(self.crop)))
        return pixels

    def normalise(
        self, pixels: UInt8[Tensor, "*batch 3 height width"]
    ) -> Float[Tensor, "*batch 3 height width"]:
        """Pixels as the encoder's input, on their device and in their memory format."""
        scaled = pixels.to(float32).div_(255)
        tensor: Tensor = F.normalize(scaled, list(self.mean), list(self.std), inplace=True)
        return tensor

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
