"""The model that a user means: a saved folder, or a name or spec to build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from zoo.assembly import build
from zoo.clip import CLIP
from zoo.errors import SpecError
from zoo.folder import load

__all__ = ["open_model"]


def open_model(
    name: str, *, overrides: Mapping[str, Any] | None = None, device: str | torch.device = "cpu"
) -> CLIP:
    """Load a folder that `zoo train` or `zoo.save` wrote, or build a named model or a spec file.

    Raises:
        FolderError: a folder holds no whole model.
        SpecError: a saved model is to be changed by overrides.
        UnknownNameError: nothing has this name.
    """
    if not Path(name).is_dir():
        return build(name, overrides=dict(overrides or {}), device=device)
    if overrides:
        raise SpecError(f"{name}: a saved model is taken as it is; overrides change a spec")
    return load(name, device=device)
