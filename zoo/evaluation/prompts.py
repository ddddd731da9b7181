"""Prompts of zero-shot classification: named sets that come with zoo, or a user's own file."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from zoo.errors import DataError, suggestion

__all__ = ["Prompts", "load_prompts", "prompt_sets"]


class Prompts(BaseModel):
    """Templates that make texts of a class's name, where `{c}` stands.

    Args:
        names: what to call a class, by its concept or folder, where that is a code.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    summary: str = ""
    templates: list[str] = Field(min_length=1)
    names: dict[str, str] = Field(default_factory=dict)

    @field_validator("templates")
    @classmethod
    def _has_a_place(cls, templates: list[str]) -> list[str]:
        for each in templates:
            if "{c}" not in each:
                raise ValueError(f"{each!r} has no {{c}}, where the class's name goes")
        return templates

    def texts(self, name: str) -> list[str]:
        """The texts of the class of this name, a template each."""
        return [each.replace("{c}", name) for each in self.templates]


def prompt_sets() -> dict[str, Prompts]:
    """The sets that come with zoo, by name."""
    path = Path(__file__).with_name("prompts.toml")
    return {
        name: Prompts.model_validate(each)
        for name, each in tomllib.loads(path.read_text(encoding="utf-8")).items()
    }


def load_prompts(name: str) -> Prompts:
    """A set by its name, or from a TOML or JSON file with `templates` and perhaps `names`.

    Raises:
        DataError: there is no such set or file, or the file is not valid.
    """
    path = Path(name)
    if path.suffix not in (".toml", ".json"):
        known = prompt_sets()
        if name not in known:
            raise DataError(
                f"there are no prompts {name!r}; there are {', '.join(known)}, and files that end "
                f"in .toml or .json.{suggestion(name, known)}"
            )
        return known[name]
    try:
        text = path.read_text(encoding="utf-8")
        content: Any = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        return Prompts.model_validate(content)
    except OSError as error:
        raise DataError(f"{path}: the prompts cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "prompts"
        raise DataError(f"{path}: {place}: {first['msg'].removeprefix('Value error, ')}") from error
    except ValueError as error:
        raise DataError(f"{path}: not valid {path.suffix[1:].upper()}: {error}") from error
