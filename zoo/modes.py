"""Train modes: what of a tower trains, and that the rest of it stands still."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from zoo.blocks import by_depth
from zoo.errors import FolderError, SpecError
from zoo.lora import Adapters, Base, adapter_dropouts, add_adapters, fold_in
from zoo.parameters import any_tensor
from zoo.spec import Last, TrainMode, WithLoRA

__all__ = [
    "apply_mode",
    "check_merged",
    "freeze",
    "keep_frozen",
    "merge_adapters",
    "parts_of",
    "stays_as_loaded",
]


def apply_mode(tower: Any, mode: TrainMode) -> tuple[str, ...]:
    """Take what a mode freezes out of training.

    Returns:
        The modules of the tower that are frozen as a whole: `encoder`, `head`, or some in the
        encoder. With LoRA none is named, since adapters are spread over the encoder.

    Raises:
        SpecError: the encoder has fewer blocks than are to train, or no layer for adapters.
        MissingExtraError: adapters need peft.
    """
    if isinstance(mode, Last):
        return _freeze_before(tower.encoder, mode.last)
    if isinstance(mode, WithLoRA):
        tower.encoder.requires_grad_(False)
        add_adapters(tower.encoder, mode.lora, _example(tower.encoder))
        return ()
    parts = {"full": (), "head": ("encoder",), "frozen": ("encoder", "head")}[mode]
    for part in parts:
        getattr(tower, part).requires_grad_(False).eval()
    return parts


def freeze(tower: Any) -> None:
    """Take all of a tower out of training, adapters included."""
    tower.train_mode = "frozen"
    tower.frozen_parts = apply_mode(tower, "frozen")


def stays_as_loaded(mode: TrainMode) -> bool:
    """Whether no weight that an encoder is loaded with changes, so that its origin tells them all."""
    return mode in ("head", "frozen") or isinstance(mode, WithLoRA)


def keep_frozen(tower: Any) -> None:
    """Eval mode for all that is frozen, whatever mode the tower is in."""
    if isinstance(tower.train_mode, WithLoRA):
        tower.encoder.eval()
        for dropout in adapter_dropouts(tower.encoder):
            dropout.train(tower.training)
    for name in tower.frozen_parts:
        tower.get_submodule(name).eval()


def check_merged(tower: Any, side: str) -> None:
    """Refuse a tower with adapters where only plain weights can be written.

    Raises:
        FolderError: it has some.
    """
    if isinstance(tower.train_mode, WithLoRA):
        raise FolderError(
            f"{side}.encoder: has adapters beside its weights; call model.merge_lora() first"
        )


def merge_adapters(tower: Any) -> None:
    """Fold a tower's adapters into its encoder, which is frozen from then on."""
    fold_in(tower.encoder)
    tower.train_mode = "head"
    tower.frozen_parts = apply_mode(tower, "head")


def parts_of(tower: Any) -> Iterator[tuple[str, Any, bool]]:
    """What a tower is saved as: the name of each part, its tensors, and whether it is frozen."""
    if isinstance(tower.train_mode, WithLoRA):
        yield "encoder", Base(tower.encoder), True
        yield "adapters", Adapters(tower.encoder), False
    else:
        yield "encoder", tower.encoder, "encoder" in tower.frozen_parts
    yield "head", tower.head, "head" in tower.frozen_parts


def _freeze_before(encoder: nn.Module, last: int) -> tuple[str, ...]:
    """Freeze all but the last blocks and what follows them."""
    groups = by_depth(encoder)
    blocks = len(groups) - 2
    if last > blocks:
        raise SpecError(
            f"last = {last}, and the encoder has {blocks} blocks"
            + (f"; choose 1 to {blocks}, or full for all of it" if blocks else "; choose full")
        )
    trained = [name for group in groups[-last - 1 :] for name in group]
    encoder.requires_grad_(False)
    for name in trained:
        encoder.get_submodule(name).requires_grad_(True)
    frozen = list(_outside(encoder, set(trained)))
    for name in frozen:
        encoder.get_submodule(name).eval()
    return tuple(f"encoder.{name}" for name in frozen)


def _outside(module: nn.Module, trained: set[str], path: str = "") -> Iterator[str]:
    """The largest modules that are not, and hold not, any that trains."""
    for name, child in module.named_children():
        here = f"{path}{name}"
        if not any(f"{each}.".startswith(f"{here}.") for each in trained):
            yield here
        elif here not in trained:
            yield from _outside(child, trained, f"{here}.")


def _example(encoder: Any) -> tuple[Tensor, ...]:
    """One input of an encoder's own kind: a black picture, or a text of four tokens."""
    device = any_tensor(encoder).device
    if hasattr(encoder, "preprocess"):
        return (torch.zeros(1, 3, *encoder.preprocess.crop, device=device),)
    ids = torch.ones(1, 4, dtype=torch.long, device=device)
    return ids, torch.ones_like(ids)
