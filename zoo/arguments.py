"""Types with ranges for arguments of components, checked when a spec is, and of losses in code too."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, ParamSpec

from pydantic import Field, TypeAdapter, ValidationError

from zoo.errors import ArgumentError

__all__ = [
    "MOST",
    "FiniteFloat",
    "NonNegativeFloat",
    "PositiveFloat",
    "PositiveInt",
    "Probability",
    "Share",
    "in_range",
]

_Arguments = ParamSpec("_Arguments")

MOST = 16_384
"""The largest width or side: more is a slip, or a small file's claim to all of the memory."""

PositiveInt = Annotated[int, Field(gt=0, le=MOST)]
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]


def in_range(init: Callable[_Arguments, None]) -> Callable[_Arguments, None]:
    """Have an `__init__` refuse what the annotations of its keyword-only arguments do, as a spec does.

    It then raises ArgumentError, with the name of the class and the argument.
    """
    parameters = inspect.signature(init, eval_str=True).parameters.values()
    adapters: dict[str, TypeAdapter[Any]] = {
        each.name: TypeAdapter(each.annotation)
        for each in parameters
        if each.kind is each.KEYWORD_ONLY
    }

    @wraps(init)
    def checked(*own: _Arguments.args, **given: _Arguments.kwargs) -> None:
        for name, value in given.items():
            if name not in adapters:
                continue
            try:
                adapters[name].validate_python(value, strict=True)
            except ValidationError as error:
                said = error.errors()[0]["msg"]
                raise ArgumentError(
                    f"{type(own[0]).__name__}({name}={value!r}): {said[0].lower()}{said[1:]}"
                ) from error
        init(*own, **given)

    return checked
