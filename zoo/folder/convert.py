"""Manifests of older versions, brought to the present one step by step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo.errors import FolderError

__all__ = ["FORMAT_VERSION", "convert"]

FORMAT_VERSION = 2


def convert(data: Any, path: Path) -> Any:
    """The same manifest in the present version; what is no manifest is left for validation.

    Raises:
        FolderError: it is of a newer version.
    """
    found = data.get("format_version") if isinstance(data, dict) else None
    if not isinstance(found, int):
        return data
    if found > FORMAT_VERSION:
        raise FolderError(
            f"{path}: of format {found}, and this zoo reads up to {FORMAT_VERSION}; upgrade with: "
            "pip install -U clip-zoo"
        )
    while data["format_version"] in _STEPS:
        data = _STEPS[data["format_version"]](data)
    return data


def _from_1(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew no small files: tokenizers came from where the weights had come from."""
    new = {"format_version": 2, "self_contained": False, "files": {}, "written_with": {}}
    return {**data, **new}


_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}
