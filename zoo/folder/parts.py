"""The parts of a model by path: `image.encoder`, `image.head`, …, `loss`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from zoo.modes import parts_of as tower_parts

if TYPE_CHECKING:
    from torch import nn

    from zoo.clip import CLIP

__all__ = ["is_of_its_origin", "parts_of"]


def parts_of(model: CLIP) -> Iterator[tuple[str, nn.Module, bool]]:
    """Every part with its path, and whether it is frozen."""
    for side in ("image", "text"):
        tower: Any = getattr(model, f"{side}_encoder")
        if tower is None:
            continue
        for part, module, frozen in tower_parts(tower):
            yield f"{side}.{part}", module, frozen
    if model.loss is not None:
        yield "loss", model.loss, False


def is_of_its_origin(part: nn.Module, sha256: str) -> bool:
    """Whether a frozen part, of this hash, is exactly what its weights' origin gives."""
    origin: Any = getattr(part, "weights_origin", None)
    has_origin = getattr(part, "weights_source", None) is not None
    return has_origin and origin is not None and origin.gives(sha256)
