"""`zoo.json`, the table of contents of a saved model: spec, hashes, provenance."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic import (
    BaseModel,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from zoo.encoders.preprocess import Preprocess
from zoo.errors import FolderError
from zoo.folder.convert import FORMAT_VERSION, convert
from zoo.spec import ModelSpec

__all__ = ["FORMAT_VERSION", "MANIFEST", "TENSORS", "Manifest", "Part", "read_manifest"]

MANIFEST = "zoo.json"
TENSORS = "model.safetensors"
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")


class Part(BaseModel):
    """A part of the model: its tensors' hash, and whether the folder has them."""

    stored: bool
    sha256: str


class _Weights(BaseModel):
    source: str
    file: str
    revision: str | None = None


class _Origin(BaseModel):
    layer: str
    name: str
    version: str | None = None

    @model_validator(mode="after")
    def _can_be_installed(self) -> _Origin:
        if self.layer == "plugin" and not _DISTRIBUTION.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of a distribution")
        return self


class _Entry(BaseModel):
    """What is read of where a part came from."""

    origin: _Origin
    weights: _Weights | None = None


class Manifest(BaseModel):
    """What `zoo.json` holds."""

    format_version: int = Field(ge=1)
    spec: ModelSpec
    self_contained: bool
    parts: dict[str, Part]
    tensors_sha256: str
    files: dict[str, str]
    """The sha256 of every small file of an encoder, by its path in the folder."""
    preprocess: Preprocess | None = None
    provenance: dict[str, dict[str, Any]]
    written_with: dict[str, str]
    """The versions of the distributions that wrote the folder."""

    @field_validator("provenance")
    @classmethod
    def _check_provenance(cls, found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        _PROVENANCE.validate_python(found)
        return found


_PROVENANCE = TypeAdapter(dict[str, _Entry])


def read_manifest(folder: Path) -> Manifest:
    """The manifest, of whatever version.

    Raises:
        FolderError: it is missing, damaged, or of a newer version than this zoo knows.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FolderError(f"{folder}: no saved model here ({MANIFEST} is missing)")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FolderError(f"{path}: not a manifest that zoo wrote: {error}") from error
    try:
        return Manifest.model_validate(convert(data, path))
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, each['loc'])) or 'all of it'}: {each['msg']}"
            for each in error.errors()
        ]
        raise FolderError(f"{path}: not a manifest that zoo wrote: {'; '.join(faults)}") from error
