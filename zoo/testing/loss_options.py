"""Checks of what a loss may offer besides: several positives, sums over images, a teacher."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.testing.case import CheckFailed, NotApplicable, require
from zoo.testing.loss_runs import TEACHER, gap, run, takes
from zoo.testing.subject import ComponentSubject, quietly

__all__ = ["ids_of", "several_positives", "sums_over_images", "teacher"]

IDS = ("image_ids", "text_ids")


def several_positives(subject: ComponentSubject) -> None:
    """Where it takes `image_ids` or `text_ids`, pairs with one id are positives, and only those."""
    loss = subject.copy().double()
    names = ids_of(loss)
    if not names:
        raise NotApplicable("it takes neither image_ids nor text_ids")
    dim = subject.inputs(1)[0].shape[1]
    count = min(6, dim)
    corners = torch.eye(count, dim, dtype=torch.float64)  # no pair pulls on another's rows
    alone, same = torch.arange(count), torch.arange(count)
    same[1] = same[0]
    value, grads = run(loss, (corners, corners))
    for name in names:
        unmoved, _ = run(loss, (corners, corners), **{name: 40 - alone})
        require(
            gap(value, unmoved) < 1e-6,
            f"with another number for each pair in {name} the value differs by "
            f"{gap(value, unmoved):.1e}",
        )
        one, with_ids = run(loss, (corners, corners), **{name: same})
        other, _ = run(loss, (corners, corners), **{name: 3 * same + 7})
        require(
            gap(one, other) < 1e-6,
            f"with other numbers in {name} for the same pairs the value differs by "
            f"{gap(one, other):.1e}",
        )
        for image, text in ((0, 1), (1, 0)):
            before = grads["text_embeds"][text] @ corners[image]
            after = with_ids["text_embeds"][text] @ corners[image]
            require(
                bool(after < before),
                f"pair 0 and pair 1 have one number in {name}, and image {image} draws text {text} "
                "no nearer than without",
            )
        drawn = [each["text_embeds"][3] @ corners[2] for each in (grads, with_ids)]
        require(
            bool(drawn[1] >= drawn[0] - 1e-9),
            f"pairs 2 and 3 share no number in {name}, and image 2 draws text 3 nearer for the "
            "numbers of others",
        )


def sums_over_images(subject: ComponentSubject) -> None:
    """Where it says `sums_over_images`, micro-batches by `over_images` add up to the whole batch."""
    loss = subject.copy().double()
    if not getattr(loss, "sums_over_images", False):
        raise NotApplicable("it does not say sums_over_images")
    images, texts = (each.double() for each in subject.inputs(8))
    ids = {name: torch.tensor([0, 1, 2, 0, 3, 3, 4, 0]) for name in ids_of(loss)}
    for more in ({}, ids) if ids else ({},):
        value, grads = run(loss, (images, texts), **more)
        batch = images.clone().requires_grad_(), texts.clone().requires_grad_()
        loss.zero_grad(set_to_none=True)
        total = torch.zeros((), dtype=torch.float64)
        for first, last in ((0, 3), (3, 4), (4, 8)):
            part = loss.over_images(batch[0][first:last], batch[1], first, **more)
            part.backward()
            total += part.detach()
        require(
            gap(value, total) < 1e-6, f"the values add up to another by {gap(value, total):.1e}"
        )
        found: dict[str, Any] = {"image_embeds": batch[0].grad, "text_embeds": batch[1].grad}
        found |= {name: each.grad for name, each in loss.named_parameters()}
        for name, gradient in grads.items():
            require(found[name] is not None, f"by over_images no gradient reaches {name}")
            apart = gap(gradient, found[name])
            require(apart < 1e-6, f"the gradients of {name} add up to others by {apart:.1e}")


def teacher(subject: ComponentSubject) -> None:
    """Where it takes teacher embeddings, it asks for them by name, and they get no gradient."""
    loss = subject.copy()
    if not takes(loss, *TEACHER):
        raise NotApplicable("it takes no teacher embeddings")
    images, texts = subject.inputs(8)
    forward = inspect.unwrap(type(loss).forward)
    try:
        forward(loss, images, texts)
    except (ZooError, TypeError) as error:
        require(
            any(name in str(error) for name in TEACHER),
            f"without teacher embeddings it says, and does not name them: {error}",
        )
    else:
        raise CheckFailed("without teacher embeddings it gives a value all the same")
    given: dict[str, Tensor] = {name: images.clone().requires_grad_() for name in TEACHER}
    loss(images.clone().requires_grad_(), texts, **given).backward()
    for name, each in given.items():
        require(each.grad is None or not bool(each.grad.any()), f"a gradient reaches {name}")
    agreeing = quietly(
        lambda *batch: loss(*batch, **dict.fromkeys(TEACHER, images)), (images, images)
    )
    shuffled = {TEACHER[0]: images, TEACHER[1]: images.roll(1, 0)}
    contrary = quietly(lambda *batch: loss(*batch, **shuffled), (images, images))
    require(
        agreeing.item() < contrary.item(),
        f"under a teacher that agrees it costs {agreeing.item():.4g}, under one that does not "
        f"{contrary.item():.4g}",
    )


def ids_of(loss: Any) -> list[str]:
    """Which ids it takes."""
    return [name for name in IDS if takes(loss, name)]
