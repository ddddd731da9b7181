"""The model that a loss learns from: a recipe names it."""

from __future__ import annotations

import inspect
from pathlib import Path

from torch import nn

from zoo.assembly import build
from zoo.clip import CLIP
from zoo.errors import SpecError, ZooError
from zoo.folder import load
from zoo.modes import freeze
from zoo.recipe import Recipe

__all__ = ["check_teacher", "load_teacher"]


def check_teacher(loss: nn.Module, teacher: CLIP | None) -> None:
    """Say before anything is computed whether a loss and a teacher go together.

    Raises:
        SpecError: the loss learns from a teacher, and there is none; or the other way round.
    """
    takes = "teacher_image_embeds" in inspect.signature(loss.forward).parameters
    name = type(loss).__name__
    if takes and teacher is None:
        raise SpecError(
            f"train.teacher: {name} learns from a teacher, and there is none; name a model or a "
            "saved one"
        )
    if teacher is not None and not takes:
        raise SpecError(
            f"train.teacher: {name} learns from no teacher; leave it out, or choose the loss "
            "distillation"
        )


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
