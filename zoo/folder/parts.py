"""The parts of a model by path: `image.encoder`, `image.head`, …, `loss`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from zoo.modes import parts_of as tower_parts
from zoo.weights.fingerprint import fingerprint

if TYPE_CHECKING:
    from torch import nn

    from zoo.clip import CLIP

__all__ = ["parts_of"]


def parts_of(model: CLIP) -> Iterator[tuple[str, nn.Module, bool]]:
    """Every part with its path, and whether its origin is enough to have it again."""
    for side in ("image", "text"):
        tower: Any = getattr(model, f"{side}_encoder")
        if tower is None:
            continue
        for part, module, frozen in tower_parts(tower):
            yield f"{side}.{part}", module, frozen and _untouched(module)
    if model.loss is not None:
        yield "loss", model.loss, False


def _untouched(module: nn.Module) -> bool:
    """Whether a part still is what its weights' origin gives."""
    loaded = getattr(module, "loaded_fingerprint", None)
    has_origin = getattr(module, "weights_source", None) is not None
    return has_origin and loaded == fingerprint(module)
