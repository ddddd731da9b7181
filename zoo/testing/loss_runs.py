"""A loss on a batch: its value and gradients, and how near two of them are."""

from __future__ import annotations

import inspect
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["gap", "give_teacher", "run", "takes"]

TEACHER = ("teacher_image_embeds", "teacher_text_embeds")


def takes(loss: nn.Module, *names: str) -> bool:
    """Whether its `forward` has these arguments."""
    return set(names) <= inspect.signature(loss.forward).parameters.keys()


def give_teacher(loss: nn.Module) -> None:
    """A loss that takes teacher embeddings gets some from now on where it is called without.

    The teacher has seen which pairs belong together: its texts are its images. They are made of a
    pair's image row by row, so that the teacher of some rows is that of the same rows in a batch.
    """
    if takes(loss, *TEACHER):
        loss.register_forward_pre_hook(_with_teacher, with_kwargs=True)


def _with_teacher(
    loss: nn.Module, inputs: tuple[Any, ...], more: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    teacher = F.normalize(inputs[0].detach()[:, ::2], dim=-1)
    return inputs, {**dict.fromkeys(TEACHER, teacher), **more}


def run(loss: Any, inputs: tuple[Tensor, ...], **more: Tensor) -> tuple[Tensor, dict[str, Any]]:
    """The value, and the gradients of both batches and of the loss's own parameters."""
    loss.zero_grad(set_to_none=True)
    batch = [each.clone().requires_grad_() for each in inputs]
    value = loss(*batch, **more)
    value.backward()
    grads = {"image_embeds": batch[0].grad, "text_embeds": batch[1].grad}
    own = {name: each.grad for name, each in loss.named_parameters() if each.requires_grad}
    return value.detach(), {**grads, **own}


def gap(one: Tensor, other: Tensor) -> float:
    """The largest difference, in shares of the largest number or of 1e-3 if all are smaller."""
    scale = max(one.abs().max().item(), 1e-3)
    return (one.double() - other.double()).abs().max().item() / scale
