"""Checks that hold for every part of a tower: an encoder, a head."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from zoo.testing.case import CheckFailed, require
from zoo.testing.modules import EVERY_MODULE
from zoo.testing.subject import ComponentSubject, difference, quietly, scalar_of

__all__ = ["EVERY_TOWER_PART"]

PASSES = 8
"""In train mode, at most: stochastic depth leaves out other layers in each."""


def gradients(subject: ComponentSubject) -> None:
    """In train mode a gradient reaches every parameter that trains, and every floating input."""
    module = subject.copy().train()
    trainable = {name: each for name, each in module.named_parameters() if each.requires_grad}
    require(
        bool(trainable) or (subject.kind == "projection_heads" and not any(module.parameters())),
        "none of its parameters trains; if that is meant, say why in expected_failures",
    )
    reached: set[str] = set()
    moved = False
    for _ in range(PASSES):
        module.zero_grad(set_to_none=True)
        inputs = [each.clone() for each in subject.inputs()]
        floating = [each.requires_grad_() for each in inputs if each.is_floating_point()]
        torch.autograd.backward(scalar_of(module(*inputs)))
        for name, parameter in module.named_parameters():
            if parameter.grad is not None:
                require(name in trainable, f"{name!r} does not train, and got a gradient")
                require(
                    bool(parameter.grad.isfinite().all()), f"the gradient of {name!r} is not finite"
                )
                reached.add(name)
                moved |= bool(parameter.grad.any())
        if len(reached) == len(trainable):
            break
    missed = [name for name in trainable if name not in reached]
    require(
        not missed,
        f"no gradient reaches {(missed or [''])[0]!r}; use it, remove it, or set "
        "requires_grad = False",
    )
    require(moved or not trainable, "the gradients of all its parameters are zero")
    for number, each in enumerate(floating):
        if each.grad is None:
            raise CheckFailed(f"no gradient reaches input {number}")
        require(bool(each.grad.any()), f"the gradient of input {number} is zero")


def dtype(subject: ComponentSubject) -> None:
    """In bfloat16 it takes and gives bfloat16, finite and close to what it gives in float32."""
    inputs = subject.inputs(1)  # in bfloat16, many processors take ten times as long
    exact = quietly(subject.module, inputs)
    require(exact.dtype == torch.float32, f"in float32 it gives {exact.dtype}")
    module = subject.copy().to(torch.bfloat16)
    said = quietly(
        module,
        tuple(each.to(torch.bfloat16) if each.is_floating_point() else each for each in inputs),
    )
    require(said.dtype == torch.bfloat16, f"moved to bfloat16, it gives {said.dtype}")
    require(bool(said.isfinite().all()), "moved to bfloat16, its output is not finite")
    cosine = F.cosine_similarity(exact, said.float(), dim=-1).min().item()
    require(cosine > 0.99, f"moved to bfloat16, its output turns to a cosine of {cosine:.3f}")


def batch_sizes(subject: ComponentSubject) -> None:
    """A batch of 1 and one of 3 give as many rows."""
    for count in (1, 3):
        said = quietly(subject.module, subject.inputs(count))
        require(
            len(said) == count, f"a batch of {count} gives an output of shape {tuple(said.shape)}"
        )


def batch_independence(subject: ComponentSubject) -> None:
    """In eval mode a row of the output does not depend on what else is in the batch."""
    inputs = subject.inputs(3)
    together = quietly(subject.module, inputs)
    for row in range(3):
        alone = quietly(subject.module, tuple(each[row : row + 1] for each in inputs))
        gap = difference(together[row : row + 1], alone)
        require(gap < 1e-4, f"row {row} alone differs by {gap:.1e} from the same row in a batch")


def export(subject: ComponentSubject) -> None:
    """`torch.export` takes it for batches of any size, and the exported program says the same."""
    inputs = subject.inputs(3)
    batch = torch.export.Dim("batch", min=1, max=64)
    try:
        program = torch.export.export(
            subject.copy().eval(),
            tuple(each[:2] for each in inputs),
            dynamic_shapes=tuple({0: batch} for _ in inputs),
        )
    except Exception as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if "specialized it to be a constant" in str(error):
            said = "it fixes the size of the batch; ask for it by x.shape[0], where len(x) is fixed"
        raise CheckFailed(
            f"torch.export fails: {said}. If it cannot be helped, say why in expected_failures"
        ) from error
    gap = difference(quietly(subject.module, inputs), quietly(program.module(), inputs))
    require(gap < 1e-4, f"exported with a batch of 2, its output for 3 differs by {gap:.1e}")


EVERY_TOWER_PART = (
    *EVERY_MODULE,
    gradients,
    dtype,
    batch_sizes,
    batch_independence,
    export,
)
