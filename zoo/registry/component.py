"""What the registry holds: components (named factories), models, their origins, and failures."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from zoo.errors import RegistryError, suggestion

__all__ = [
    "KINDS",
    "Component",
    "Failure",
    "Kind",
    "Origin",
    "Trained",
    "as_kind",
    "check_name",
    "describe",
    "normalised",
    "one_line",
]

Kind = Literal[
    "image_encoders", "text_encoders", "projection_heads", "losses", "models", "datasets"
]
KINDS: tuple[Kind, ...] = get_args(Kind)

_LEGAL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/\*)?")
_SHORT_FORMS = {"heads": "projection_heads"}


@dataclass(frozen=True)
class Origin:
    """The distribution and version, the file, or the session that a name came from."""

    layer: Literal["built-in", "plugin", "user file", "session"]
    name: str
    version: str | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.version}" if self.version else self.name

    def as_json(self) -> dict[str, str | None]:
        return {"layer": self.layer, "name": self.name, "version": self.version}


@dataclass(frozen=True)
class Trained:
    """The weights of a named model: a `.safetensors` that `zoo.save` wrote, and its pinned hash.

    Names of tensors begin with the path of a part, as in `image.head.fc1.weight`.
    """

    path: Path
    sha256: str


@dataclass(frozen=True)
class Component:
    """A name of one kind. Exactly one of `target`, `factory`, `use` and `spec` says what it means.

    A name that ends in `/*` is a family: the rest of the name asked for becomes the factory's
    first argument, so that `timm/*` answers `timm/convnext_tiny`.
    """

    kind: Kind
    name: str
    origin: Origin
    summary: str = ""
    target: str | None = None
    """`"module:attribute"`, imported on first use."""
    factory: Callable[..., Any] | None = field(default=None, compare=False)
    """The factory itself, for names registered in the running session."""
    use: str | None = None
    """The name of another component of the same kind, of which this one is a preset."""
    args: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None
    spec: Mapping[str, Any] | None = None
    """For a named model: its spec as written, before `base` is followed."""
    trained: Trained | None = None
    """For a named model that was trained: where its weights are."""
    metrics: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """For a named model: what was measured, in words, to the value, or to value, low and high end."""
    overrides: Origin | None = None
    """The origin of the name that this one replaces, if it replaces one."""
    deprecated: str = ""
    """What to use instead, for a name that still builds and is no longer listed."""

    @property
    def is_family(self) -> bool:
        return self.name.endswith("/*")


@dataclass(frozen=True)
class Failure:
    """What a plugin offers and cannot be used, and why, in one line."""

    group: str
    """The entry-point group, `zoo.<kind>` for one component, `distribution` for a whole one."""
    name: str
    origin: Origin
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", one_line(self.name))
        object.__setattr__(self, "reason", one_line(self.reason))


def as_kind(word: str) -> Kind:
    """The kind that a word means: plural or singular, with `-` or `_`, `heads` for short."""
    kind = word.strip().lower().replace("-", "_")
    for candidate in (kind, f"{kind}s", f"{kind}es"):
        candidate = _SHORT_FORMS.get(candidate, candidate)
        if candidate in KINDS:
            return candidate
    raise RegistryError(
        f"unknown kind {word!r}; the kinds are {', '.join(KINDS)}.{suggestion(kind, KINDS)}"
    )


def check_name(kind: Kind, name: str, where: str) -> None:
    """Refuse a name that could not be told from a path, a family or another name."""
    if not _LEGAL_NAME.fullmatch(name):
        raise RegistryError(
            f"{where}: {describe(kind)} name {name!r} is not legal; use small letters, digits, "
            "'.', '_' and '-', starting with a letter or digit ('name/*' for a family)"
        )


def describe(kind: Kind) -> str:
    """The kind as one thing in a sentence: `image encoder`, `loss`."""
    if kind == "losses":
        return "loss"
    return kind.removesuffix("s").replace("_", " ")


def normalised(distribution: str) -> str:
    """A distribution's name as packaging tools compare it."""
    return re.sub(r"[-_.]+", "-", distribution.strip()).lower()


def one_line(text: str, most: int = 500) -> str:
    """Text from elsewhere made fit for a listing: one line, printable, not endless."""
    words = " ".join(text[: 4 * most].split())
    shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in words)
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."
