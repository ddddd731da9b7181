"""The recipe: how a model trains, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zoo.errors import SpecError
from zoo.training.precision import Precision

__all__ = ["Recipe", "recipe_for"]


class Recipe(BaseModel):
    """How long, how fast and how reproducibly a model trains."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(10, gt=0, description="Passes over the training split.")
    batch_size: int = Field(32, gt=1, description="Pairs a step.")
    learning_rate: float = Field(1e-4, gt=0, description="Peak of the schedule.")
    weight_decay: float = Field(0.1, ge=0, description="AdamW's, for matrices only.")
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps that warm up.")
    sampling: Literal["pair", "concept"] = Field(
        "concept", description="An epoch holds every pair, or one random pair of every concept."
    )
    precision: Precision = Field(
        "auto", description="auto: bfloat16 where it is measured to be faster."
    )
    workers: int = Field(2, ge=1, description="Threads that read pictures.")
    seed: int = Field(0, ge=0)


def recipe_for(heads_only: bool, **given: object) -> Recipe:
    """The default recipe, with what was given in place of its values.

    Heads on cached features bear large batches, many epochs and a high rate; encoders do not.

    Raises:
        SpecError: a value is not valid.
    """
    defaults: dict[str, object] = (
        {"epochs": 200, "batch_size": 512, "learning_rate": 1e-3} if heads_only else {}
    )
    chosen = {key: value for key, value in given.items() if value is not None}
    try:
        return Recipe.model_validate({**defaults, **chosen})
    except ValidationError as error:
        fault = error.errors()[0]
        path = ".".join(str(part) for part in fault["loc"])
        raise SpecError(f"recipe: {path}: {fault['msg']}, not {fault['input']!r}") from error
