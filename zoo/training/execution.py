"""How a run is computed: in which precision, by which kernels, from which random state."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from zoo.clip import CLIP
from zoo.errors import SpecError
from zoo.recipe import Recipe
from zoo.training.precision import choose
from zoo.training.processes import Processes
from zoo.training.run_folder import RunFolder

__all__ = ["agreed_precision", "check_compiled", "compiled", "repeatable", "seed_step", "set_seed"]


def set_seed(seed: int) -> None:
    """Set the random states of Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def seed_step(seed: int, step: int, rank: int) -> None:
    """Set them for one step of one process: a function of these and of nothing before."""
    state = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)
    set_seed(int(state[0]))


def agreed_precision(
    recipe: Recipe, device: torch.device, processes: Processes, run: RunFolder | None = None
) -> Literal["fp32", "bf16"]:
    """The precision of a run, the same in all its processes: where it is open, the first one measures.

    Args:
        run: that is resumed, if one is: it goes on in the precision that it began in.

    Raises:
        CheckpointError: what the run began as cannot be read.
    """

    def decided() -> Literal["fp32", "bf16"]:
        if recipe.precision == "auto" and run is not None and run.holds_run:
            began: Literal["fp32", "bf16"] = run.read_about()["run"]["precision"]
            return began
        return choose(recipe.precision, device)

    return processes.by_first(decided)


def check_compiled(model: CLIP, recipe: Recipe) -> None:
    """Refuse to compile where no encoder trains.

    Raises:
        SpecError: none does, and the recipe says `compile`.
    """
    if recipe.compile and not _that_train(model):
        raise SpecError(
            "train.compile: encoders that train are compiled, and both are frozen; leave it out, or let "
            "one train"
        )


@contextmanager
def compiled(model: CLIP, wanted: bool) -> Iterator[None]:
    """Compiled encoders inside, where they are wanted and train."""
    with ExitStack() as afterwards:
        for tower in _that_train(model) if wanted else []:
            encoder = tower.encoder
            if getattr(tower.head, "takes_tokens", False):
                name, made = "forward_tokens", torch.compile(encoder.forward_tokens)
            else:
                name, made = "_compiled_call_impl", torch.compile(encoder._call_impl)
            afterwards.callback(_put_back, encoder, name, vars(encoder).get(name))
            setattr(encoder, name, made)
        yield


def _put_back(encoder: nn.Module, name: str, before: Any) -> None:
    delattr(encoder, name)
    if before is not None:
        setattr(encoder, name, before)


def _that_train(model: CLIP) -> list[Any]:
    """The towers whose encoder trains, or a part of it."""
    towers = (model.image_encoder, model.text_encoder)
    return [each for each in towers if each is not None and "encoder" not in each.frozen_parts]


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """On a GPU, kernels that add up in the same order each time. A processor's do so anyway.

    Raises:
        SpecError: torch has no such kernel for something that is called inside.
    """
    if device.type == "cpu":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    settings: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    settings.fill_uninitialized_memory = False  # it is for finding faults, and slow
    try:
        yield
    except RuntimeError as error:
        if "does not have a deterministic implementation" not in str(error):
            raise
        raise SpecError(
            f"a training repeats itself to the bit, and on {device.type} torch has no kernel for that of "
            f"something in what trains: {str(error).partition(', but you set')[0]}. Let the encoder stand "
            'still (image.train = "head"), choose one without it, or train on cpu'
        ) from error
    finally:
        torch.use_deterministic_algorithms(before[0])
        settings.fill_uninitialized_memory = before[1]
