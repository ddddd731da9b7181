"""Checks of losses over two batches of unit vectors."""

from __future__ import annotations

import pickle

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.errors import ZooError
from zoo.testing import elsewhere
from zoo.testing.case import NotApplicable, require
from zoo.testing.loss_options import ids_of, several_positives, sums_over_images, teacher
from zoo.testing.loss_runs import gap, run
from zoo.testing.modules import EVERY_MODULE
from zoo.testing.subject import ComponentSubject, quietly

__all__ = ["CLAIMS", "LOSS"]

CLAIMS = ("minimum-at-simplex", "splits-over-processes")
"""What a loss may say of itself in `claims`; each is a check then."""
EXTREMES = (-20.0, 20.0, 0.0, 1e-6, -1e-6)
"""Where each learnable parameter is driven: as the logarithm of a temperature, to 2e-9 and 5e8."""


def scalar(subject: ComponentSubject) -> None:
    """A finite scalar, for batches of 1, 2 and 7 pairs; one pair may be refused by a `ValueError`."""
    for count in (1, 2, 7):
        try:
            said = quietly(subject.module, subject.inputs(count))
        except (ZooError, ValueError):
            if count > 1:
                raise
            continue
        require(said.ndim == 0, f"{count} pairs give a value of shape {tuple(said.shape)}")
        require(bool(said.isfinite()), f"{count} pairs give {said.item()}")


def gradients(subject: ComponentSubject) -> None:
    """Finite gradients reach both batches and every learnable parameter."""
    _, grads = run(subject.copy().train(), subject.inputs(8))
    for name, gradient in grads.items():
        require(gradient is not None, f"no gradient reaches {name}")
        require(bool(gradient.isfinite().all()), f"the gradient of {name} is not finite")
    for name in ("image_embeds", "text_embeds"):
        require(bool(grads[name].any()), f"the gradient of {name} is zero")


def prefers_pairs(subject: ComponentSubject) -> None:
    """Pairs that match cost less than the same pairs shuffled."""
    images, _ = subject.inputs(8)
    matched = quietly(subject.module, (images, images))
    shuffled = quietly(subject.module, (images, images.roll(1, 0)))
    require(
        matched.item() < shuffled.item(),
        f"matching pairs cost {matched.item():.4g}, shuffled ones {shuffled.item():.4g}",
    )


def permutation(subject: ComponentSubject) -> None:
    """The order of the pairs does not matter."""
    images, texts = subject.inputs(8)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(5))
    apart = gap(
        quietly(subject.module, (images, texts)),
        quietly(subject.module, (images[order], texts[order])),
    )
    require(apart < 1e-5, f"in another order of the same pairs the value differs by {apart:.1e}")


def precision(subject: ComponentSubject) -> None:
    """In float32 it agrees with itself in float64, in value and gradients.

    It may give float32 for float64, as a loss does that computes in `.float()`.
    """
    inputs = subject.inputs(16)
    value, grads = run(subject.copy(), inputs)
    exact, exact_grads = run(subject.copy().double(), tuple(each.double() for each in inputs))
    for given, said in ((torch.float32, value), (torch.float64, exact)):
        require(said.dtype in (torch.float32, torch.float64), f"for {given} it gives {said.dtype}")
    require(gap(value, exact) < 1e-5, f"the values differ by {gap(value, exact):.1e}")
    for name, gradient in grads.items():
        apart = gap(gradient, exact_grads[name])
        require(apart < 1e-4, f"the gradients of {name} differ by {apart:.1e}")


def autocast(subject: ComponentSubject) -> None:
    """Under autocast to bfloat16 value and gradients are finite, and the value is close to float32's."""
    images, texts = subject.inputs(8)
    for batch in ((images, images), (images, texts)):
        exact, _ = run(subject.copy(), batch)
        for dtype in (torch.float32, torch.bfloat16):
            given = tuple(each.to(dtype) for each in batch)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                value, grads = run(subject.copy(), given)
            require(value.ndim == 0, f"the value has shape {tuple(value.shape)}")
            require(bool(value.isfinite()), f"for {dtype} the value is {value.item()}")
            require(
                abs(value.item() - exact.item()) < 0.05 * max(abs(exact.item()), 1),
                f"for {dtype} the value is {value.item():.4g}, and without autocast {exact.item():.4g}",
            )
            for name, gradient in grads.items():
                require(
                    gradient is None or bool(gradient.isfinite().all()),
                    f"for {dtype} the gradient of {name} is not finite",
                )


def extremes(subject: ComponentSubject) -> None:
    """Value and gradients stay finite for extreme temperatures and for duplicate and collapsed rows."""
    images, texts = subject.inputs(8)
    batches = {
        "random rows": (images, texts),
        "duplicate rows": (images[:4].repeat(2, 1), texts[:4].repeat(2, 1)),
        "identical rows": (images[:1].repeat(8, 1), images[:1].repeat(8, 1)),
        "opposite rows": (images, -images),
        "one pair": (images[:1], texts[:1]),
    }
    learnable = [name for name, each in subject.module.named_parameters() if each.requires_grad]
    settings: list[tuple[str, float] | None] = [None]
    settings += [(name, extreme) for name in learnable for extreme in EXTREMES]
    for setting in settings:
        loss = subject.copy()
        if setting:
            loss.get_parameter(setting[0]).data.fill_(setting[1])
        for title, batch in batches.items():
            where = f"{title}, {setting[0]} = {setting[1]:g}" if setting else title
            try:
                value, grads = run(loss, batch)
            except (ZooError, ValueError):
                if title != "one pair":
                    raise
                continue
            require(bool(value.isfinite()), f"with {where} the value is {value.item()}")
            for name, gradient in grads.items():
                require(
                    gradient is None or bool(gradient.isfinite().all()),
                    f"with {where} the gradient of {name} is not finite",
                )


def claims(subject: ComponentSubject) -> None:
    """`claims`, where it has them, are among those that are checked."""
    unknown = [each for each in getattr(subject.module, "claims", ()) if each not in CLAIMS]
    require(not unknown, f"it claims {unknown}; what can be claimed is {', '.join(CLAIMS)}")


def minimum_at_simplex(subject: ComponentSubject) -> None:
    """Where claimed: at a regular simplex of matching pairs no direction lowers the loss.

    There the classes are as far apart as can be. Source: Lu and Steinerberger 2020,
    arXiv 2012.08465.
    """
    _claimed(subject, "minimum-at-simplex")
    dim = subject.inputs(1)[0].shape[1]
    count = min(6, dim)
    corners = torch.eye(count, dim, dtype=torch.float64)
    simplex = F.normalize(corners - corners.mean(0), dim=-1)
    loss = subject.copy().double()
    value, grads = run(loss, (simplex, simplex))
    rounding = _rounding(value)
    for name in ("image_embeds", "text_embeds"):
        gradient = grads[name]
        along = gradient - (gradient * simplex).sum(-1, keepdim=True) * simplex
        require(
            along.norm().item() <= rounding * max(gradient.norm().item(), rounding),
            f"the gradient of {name} along the sphere is {along.norm().item():.1e}, not zero",
        )
    random = torch.Generator().manual_seed(11)
    for step in (1e-3, 1e-2, 0.1, 1.0):
        noise = torch.randn(2, count, dim, dtype=torch.float64, generator=random)
        near = [F.normalize(simplex + step * each, dim=-1) for each in noise]
        there = quietly(loss, (near[0], near[1]))
        require(
            (value - there).item() <= (0 if value.dtype == torch.float64 else rounding),
            f"a step of {step:g} away from it the loss is lower by {(value - there).item():.1e}",
        )


def splits_over_processes(subject: ComponentSubject) -> None:
    """Where claimed: two processes with a share of the rows each get, in the mean, what one gets.

    Shares are unequal, and count in the mean by their number of rows.
    """
    _claimed(subject, "splits-over-processes")
    loss = subject.copy().double()
    inputs = tuple(each.double() for each in subject.inputs(9))
    # One id in both processes, and twice in one.
    ids = {name: torch.tensor([0, 1, 2, 2, 0, 3, 4, 5, 6]) for name in ids_of(loss)}
    for more, title in (({}, ""), (ids, "with ids ")) if ids else (({}, ""),):
        value, grads = run(loss, inputs, **more)
        parts = elsewhere.call_together(elsewhere.shares, pickle.dumps(loss), inputs, more)
        count, rounding = elsewhere.PROCESSES, _rounding(value)
        mean = sum(part["value"] for part in parts) / count
        apart = gap(value, mean)
        require(apart < rounding, f"{title}the mean of their values differs by {apart:.1e}")
        joined = {
            name: torch.cat([part["inputs"][number] for part in parts]) / count
            for number, name in enumerate(("image_embeds", "text_embeds"))
        }
        for name in parts[0]["parameters"]:
            joined[name] = sum(part["parameters"][name] for part in parts) / count
        for name, gradient in joined.items():
            apart = gap(grads[name], gradient)
            require(
                apart < rounding,
                f"{title}the gradients of {name}, as DDP averages, differ by {apart:.1e}",
            )


LOSS = (
    *EVERY_MODULE,
    scalar,
    gradients,
    prefers_pairs,
    permutation,
    precision,
    autocast,
    extremes,
    claims,
    minimum_at_simplex,
    splits_over_processes,
    several_positives,
    sums_over_images,
    teacher,
)


def _claimed(subject: ComponentSubject, claim: str) -> None:
    if claim not in getattr(subject.module, "claims", ()):
        raise NotApplicable(f"it does not claim {claim!r}")


def _rounding(value: Tensor) -> float:
    """How exact a loss can be: in float64, unless it computes in float32 all the same."""
    return 1e-6 if value.dtype == torch.float64 else 1e-4
