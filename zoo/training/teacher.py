"""The model that a loss learns from: a recipe names it."""

from __future__ import annotations

from pathlib import Path

from zoo.assembly import build
from zoo.clip import CLIP
from zoo.errors import ZooError
from zoo.folder import load
from zoo.modes import freeze
from zoo.recipe import Recipe

__all__ = ["load_teacher"]


def load_teacher(recipe: Recipe, device: str) -> CLIP | None:
    """The recipe's teacher, frozen as a whole so that its features are cached; None if it has none.

    Raises:
        ZooError: it cannot be built or loaded; the message says that it was the teacher.
    """
    name = recipe.teacher
    if name is None:
        return None
    try:
        saved = Path(name, "zoo.json").is_file()
        teacher = load(name, device=device) if saved else build(name, device=device)
    except ZooError as error:
        error.args = (f"train.teacher: {error}",)
        raise
    for tower in (teacher.image_encoder, teacher.text_encoder):
        if tower is not None:
            freeze(tower)
    return teacher
