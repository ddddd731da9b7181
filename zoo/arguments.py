"""Types for the arguments of components: ranges are checked when a spec is, with the argument's path."""

from typing import Annotated

from pydantic import Field

__all__ = ["PositiveFloat", "PositiveInt", "Probability"]

PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, lt=1)]
