"""The spec: which components make a model, with which arguments. Data only; names no module."""

from __future__ import annotations

import re
from types import UnionType
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    JsonValue,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails

from zoo.arguments import MOST
from zoo.errors import SpecError, suggestion
from zoo.recipe import Recipe
from zoo.spec_layers import Layered

__all__ = [
    "Last",
    "LoRA",
    "ModelSpec",
    "Ref",
    "TowerSpec",
    "Towers",
    "TrainMode",
    "WithLoRA",
    "spec_schema",
    "validate",
]

Towers = tuple[Literal["image", "text"], ...]


def _none(value: object) -> object:
    """TOML has no null."""
    return None if value == "none" else value


_Weights = Annotated[
    str | None,
    BeforeValidator(_none),
    Field(
        description='A weights tag of the encoder, "default", or "none" for random weights; or where '
        "weights are: hf://owner/name@revision, file:PATH, https://host/file#sha256=…"
    ),
]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Last(_Data):
    """The encoder's last blocks train, what follows them, and the head."""

    last: int = Field(ge=1, description="How many blocks.")


class LoRA(_Data):
    """Low-rank adapters, put on an encoder that is frozen itself."""

    rank: int = Field(8, ge=1, description="Inner dimension of each adapter.")
    alpha: float = Field(
        16.0,
        gt=0,
        allow_inf_nan=False,
        description="What an adapter adds is scaled by alpha / rank.",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Of an adapter's input, in training.")
    targets: list[Annotated[str, Field(min_length=1)]] | None = Field(
        None,
        min_length=1,
        description="Layers by the end of their path, such as q_proj; when not given, all linear ones.",
    )


class WithLoRA(_Data):
    """Adapters in the encoder train, and the head."""

    lora: LoRA


_NAMES = ("full", "head", "frozen")
_MODES = "A train mode is full, head, frozen, { last = n } or { lora = {…} }"
_TAGGED = {"by name": None, "last blocks": Last, "adapters": WithLoRA}
"""How pydantic's reports tell the ways to write a train mode apart."""


def _tag_of(mode: object) -> str | None:
    """Which way a train mode is written."""
    if isinstance(mode, str):
        return "by name"
    for tag, kind in _TAGGED.items():
        if kind and (
            isinstance(mode, kind) or (isinstance(mode, dict) and {*kind.model_fields} & {*mode})
        ):
            return tag
    return None


TrainMode = Annotated[
    Annotated[Literal["full", "head", "frozen"], Tag("by name")]
    | Annotated[Last, Tag("last blocks")]
    | Annotated[WithLoRA, Tag("adapters")],
    Discriminator(
        _tag_of,
        custom_error_type="train_mode",
        custom_error_message=_MODES,
    ),
]


class Ref(_Data):
    """A component by name, with arguments. A bare string is a name without arguments."""

    name: str = Field(min_length=1)
    args: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        whole = handler.resolve_ref_schema(handler(core_schema))
        return {"anyOf": [{"type": "string", "minLength": 1}, whole]}


class TowerSpec(_Data):
    """One tower: encoder, projection head, and what of it trains."""

    encoder: Ref
    weights: _Weights = "default"
    head: Ref
    train: TrainMode = Field(
        "full",
        description="full: all of it trains; head: the head only; frozen: nothing; last: the head and "
        "that many blocks of the encoder; lora: the head and adapters in the encoder.",
    )


class ModelSpec(_Data):
    """A whole model: two towers that meet in one embedding space, a loss, and how they train."""

    name: str | None = None
    summary: str = ""
    embedding_dim: int = Field(
        512, gt=0, le=MOST, description="Dimension of the shared embedding space."
    )
    image: TowerSpec
    text: TowerSpec
    loss: Ref = Ref(name="info-nce")
    trained: Annotated[str | None, BeforeValidator(_none)] = Field(
        None,
        description="A named model whose trained weights the parts take that it has too; a model that "
        'comes with weights names itself. "none": encoders have their own, and heads are fresh.',
    )
    train: Recipe = Recipe()

    @property
    def heads_only(self) -> bool:
        """Whether both encoders are frozen, so that training needs their features only."""
        return all(tower.train in ("head", "frozen") for tower in (self.image, self.text))

    def without_weights(self) -> ModelSpec:
        """The same model with random weights in both towers."""
        return self.model_copy(
            update={
                "trained": None,
                "image": self.image.model_copy(update={"weights": None}),
                "text": self.text.model_copy(update={"weights": None}),
            }
        )


def validate(layered: Layered) -> ModelSpec:
    """A spec from layered data.

    Raises:
        SpecError: every fault, each with its path, the source it came from and the nearest right key.
    """
    try:
        return ModelSpec.model_validate(layered.data)
    except ValidationError as error:
        faults = [_fault(each, layered) for each in error.errors()]
    raise SpecError("\n".join(faults))


def spec_schema() -> dict[str, Any]:
    """The JSON schema of a spec file, for editors: `ModelSpec`, or a `base` and what differs from it."""
    schema = ModelSpec.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "zoo model spec"
    schema["properties"]["base"] = {
        "type": "string",
        "description": "A named model to start from; what this file says replaces its parts.",
    }
    schema["properties"]["$schema"] = {"type": "string"}
    schema["$defs"]["Ref"]["anyOf"][-1].pop("required")  # beside a base, arguments alone will do
    whole = schema.pop("required")
    tower = schema["$defs"]["TowerSpec"].pop("required")
    complete = {side: {"required": tower} for side in ("image", "text")}
    schema["anyOf"] = [{"required": ["base"]}, {"required": whole, "properties": complete}]
    return schema


def _fault(error: ErrorDetails, layered: Layered) -> str:
    path = ".".join(str(part) for part in error["loc"] if part not in _TAGGED)
    where = f"{path or 'the spec'} ({layered.source_of(path)})"
    given = error["input"]
    if error["type"] == "extra_forbidden":
        *parents, key = error["loc"]
        keys = _keys_at(parents)
        hint = " An argument of the component goes into its args." if "args" in keys else ""
        return (
            f"{where}: unknown key {key!r}; here belong {', '.join(keys)}."
            f"{suggestion(str(key), keys) or hint}"
        )
    if error["type"] == "missing":
        return f"{where}: missing, and required"
    if error["type"] == "value_error":  # our own words, which say what was given
        return f"{where}: {error['ctx']['error']}"
    said = error["msg"]
    hint = ""
    if error["type"] == "train_mode" and isinstance(given, dict):
        hint = "".join(suggestion(str(key), ("last", "lora")) for key in given)
    if error["type"] == "literal_error" and isinstance(given, str):
        if path in ("image.train", "text.train"):
            said, names = _MODES, _NAMES
        else:
            names = tuple(re.findall("'([^']+)'", error["ctx"]["expected"]))
        hint = suggestion(given, names)
    return f"{where}: {said[0].lower()}{said[1:]}, not {given!r}.{hint}"


def _keys_at(path: list[int | str]) -> list[str]:
    model: Any = ModelSpec
    for part in path:
        model = _TAGGED.get(str(part)) or model.model_fields[part].annotation
        if isinstance(model, UnionType):  # a section that may be left out
            model = get_args(model)[0]
    keys = list(model.model_fields)
    return [*keys, "base"] if model is ModelSpec else keys
