"""The recipe's section `augmentation`: how training pictures are varied, as data. Off by default."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from zoo.arguments import PositiveFloat, Share

__all__ = ["Augmentation", "ColourJitter", "Crop", "Erasing", "RandAugment"]


def _pair(value: object) -> object:
    """TOML and JSON have lists, and no tuples."""
    return tuple(value) if isinstance(value, list) else value


def _rising(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"a range goes from its lower end to its upper, not {value}")
    return value


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Ranges(_Section):
    scale: Annotated[tuple[PositiveFloat, PositiveFloat], BeforeValidator(_pair)]
    ratio: Annotated[tuple[PositiveFloat, PositiveFloat], BeforeValidator(_pair)]

    @model_validator(mode="after")
    def _in_order(self) -> _Ranges:
        _rising(self.scale)
        _rising(self.ratio)
        if self.scale[1] > 1:
            raise ValueError(f"scale is a share of the picture, at most 1, not {self.scale[1]}")
        return self


class Crop(_Ranges):
    """A random part of the picture, resized to what the encoder sees (random resized crop)."""

    scale: Annotated[tuple[PositiveFloat, PositiveFloat], BeforeValidator(_pair)] = Field(
        (0.5, 1.0), description="Range of the part's area, as a share of the picture's."
    )
    ratio: Annotated[tuple[PositiveFloat, PositiveFloat], BeforeValidator(_pair)] = Field(
        (0.75, 4 / 3), description="Range of the part's width divided by its height."
    )
    fast: bool = Field(
        True,
        description="Decode a JPEG of which few pixels will be left at a half, a quarter or an eighth "
        "of its size; a little softer than resizing it whole.",
    )


class ColourJitter(_Section):
    """Colours changed by random amounts, in random order."""

    brightness: float = Field(0.0, ge=0, le=1, description="Factor within 1 - this and 1 + this.")
    contrast: float = Field(0.0, ge=0, le=1, description="Factor within 1 - this and 1 + this.")
    saturation: float = Field(0.0, ge=0, le=1, description="Factor within 1 - this and 1 + this.")
    hue: float = Field(
        0.0, ge=0, le=0.5, description="Turn within - this and + this, of a whole circle of 1."
    )

    @model_validator(mode="after")
    def _some(self) -> ColourJitter:
        if not (self.brightness or self.contrast or self.saturation or self.hue):
            raise ValueError(
                "no colour changes while brightness, contrast, saturation and hue are all 0; give "
                "one of them, or leave colour_jitter out"
            )
        return self


class RandAugment(_Section):
    """Random operations of one strength (Cubuk et al. 2020, https://arxiv.org/abs/1909.13719)."""

    operations: int = Field(2, ge=1, le=14, description="How many, one after another.")
    magnitude: int = Field(9, ge=0, le=30, description="Strength, from 0 (nearly none) to 30.")


class Erasing(_Ranges):
    """A random rectangle gets the encoder's mean colour (https://arxiv.org/abs/1708.04896)."""

    probability: Share = Field(0.25, description="Share of the pictures that lose one.")
    scale: Annotated[tuple[PositiveFloat, PositiveFloat], BeforeValidator(_pair)] = Field(
        (0.02, 0.33), description="Range of its area, as a share of the picture's."
    )
    ratio: Annotated[tuple[PositiveFloat, PositiveFloat], BeforeValidator(_pair)] = Field(
        (0.3, 3.3), description="Range of its width divided by its height."
    )


class Augmentation(_Section):
    """How training pictures are varied, in this order; evaluation sees them as they are."""

    crop: Crop | None = Field(
        None,
        description="A random part in place of the encoder's own resizing and crop from the centre.",
    )
    flip: Share = Field(
        0.0, description="Share of the pictures mirrored; captions that say left or right then lie."
    )
    colour_jitter: ColourJitter | None = Field(None, description="Random changes of colour.")
    randaugment: RandAugment | None = Field(None, description="Random operations.")
    greyscale: Share = Field(0.0, description="Share of the pictures that lose their colour.")
    erasing: Erasing | None = Field(None, description="A random rectangle blotted out.")

    @property
    def active(self) -> bool:
        """Whether it changes any picture."""
        return self != Augmentation()
