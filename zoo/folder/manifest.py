"""`zoo.json`, the table of contents of a saved model: spec, hashes, provenance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from zoo.encoders.preprocess import Preprocess
from zoo.errors import FolderError
from zoo.folder.convert import FORMAT_VERSION, convert
from zoo.spec import ModelSpec

__all__ = ["FORMAT_VERSION", "MANIFEST", "TENSORS", "Manifest", "Part", "read_manifest"]

MANIFEST = "zoo.json"
TENSORS = "model.safetensors"


class Part(BaseModel):
    """A part of the model: its tensors' hash, and whether the folder has them."""

    stored: bool
    sha256: str


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
