"""Types for the arguments of components: ranges are checked when a spec is, with the argument's path."""

from typing import Annotated

from pydantic import Field

__all__ = [
    "MOST",
    "FiniteFloat",
    "NonNegativeFloat",
    "PositiveFloat",
    "PositiveInt",
    "Probability",
    "Share",
]

MOST = 16_384
"""The largest width or side: more is a slip, or a small file's claim to all of the memory."""

PositiveInt = Annotated[int, Field(gt=0, le=MOST)]
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
