"""What is refused before a run computes or writes anything."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.clip import CLIP, Tower
from zoo.data.pairs import Pair
from zoo.data.stream import Stream
from zoo.errors import CheckpointError, SpecError, TowerError
from zoo.recipe import Recipe
from zoo.training.fitting import has_solved_heads
from zoo.training.run_folder import RunFolder

__all__ = ["check_complete", "check_kept", "check_streamed"]


def check_complete(model: CLIP) -> None:
    """Refuse a model without a loss or a tower, or in which nothing trains, or not what it seems.

    Where heads are solved, the loss alone may train.

    Raises:
        SpecError: nothing trains, or a parameter was unfrozen in a part that its tower runs as frozen.
        TowerError: a tower or the loss is missing.
    """
    if model.image_encoder is None or model.text_encoder is None or model.loss is None:
        raise TowerError("training takes both towers and a loss; build the model with all of them")
    for side, tower in (("image", model.image_encoder), ("text", model.text_encoder)):
        _check_frozen(side, tower)
    if model.get_trainable_parameters():
        return
    if not has_solved_heads(model):
        raise SpecError(
            "nothing in this model trains; set image.train or text.train to head or full"
        )
    if not any(parameter.requires_grad for parameter in model.loss.parameters()):
        raise SpecError(
            "heads are solved, and nothing is left that steps could train; choose a loss with a "
            "temperature that learns"
        )


def _check_frozen(side: str, tower: Tower) -> None:
    """No parameter asks for a gradient in a part that gets none."""
    for part in tower.frozen_parts:
        for name, parameter in tower.get_submodule(part).named_parameters():
            if parameter.requires_grad:
                raise SpecError(
                    f"{side}.{part}.{name} requires a gradient, and gets none: its tower was built "
                    f"with {side}.{part} frozen; say what trains as the spec does, with {side}.train "
                    "= { last = 2 } or full, and not by requires_grad"
                )


def check_streamed(recipe: Recipe, pairs: Sequence[Pair] | Stream) -> None:
    """Refuse pairs of the other kind than the recipe says.

    Raises:
        SpecError: they are.
    """
    if recipe.stream != isinstance(pairs, Stream):
        raise SpecError(
            f"train.stream is {str(recipe.stream).lower()}, and the pairs are "
            f"{'a stream' if isinstance(pairs, Stream) else 'a list'}; the recipe has to say it"
        )


def check_kept(
    recipe: Recipe,
    run: RunFolder | None,
    *,
    judged: bool,
    resume: bool,
    from_step: int | None,
    overwrite: bool,
) -> None:
    """Refuse a folder that is not free, and what needs a folder that was not given.

    Raises:
        CheckpointError: there is nothing to resume or overwrite, or both are asked for.
        FolderError: the folder holds a run, or something else.
        SpecError: the best model is to be saved, and none is judged or kept.
    """
    if run is not None:
        run.check_free(overwrite=overwrite, resume=resume)
    elif resume or overwrite:
        raise CheckpointError("a run is resumed, or overwritten, in a folder; say which")
    if run is not None and from_step is not None and not run.holds_run:
        raise CheckpointError(
            f"{run.path}: holds no run, and so no checkpoint of step {from_step}; --resume alone "
            "(resume=True in code) begins one"
        )
    if recipe.checkpoint.save == "best" and not (run is not None and judged):
        raise SpecError(
            "train.checkpoint.save: the best model is one that a judge has judged, kept in the run's "
            'folder; give both, or save the "last"'
        )
