"""Checks that hold for every module a factory makes: an encoder, a head, a loss."""

from __future__ import annotations

import inspect
import io
import pickle
from typing import Any

import torch
from torch import nn

from zoo.errors import ZooError
from zoo.registry.resolve import arguments_of
from zoo.testing import elsewhere
from zoo.testing.case import CheckFailed, require
from zoo.testing.subject import ComponentSubject, difference, quietly, scalar_of

__all__ = ["EVERY_MODULE", "EVERY_TOWER_PART"]

RESERVED = frozenset({"weights", "in_dim", "out_dim"})


def arguments(subject: ComponentSubject) -> None:
    """Every argument has a type, and an argument that it does not have is refused, not swallowed."""
    signature = inspect.signature(subject.factory)
    for name, parameter in signature.parameters.items():
        require(
            parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL),
            f"the factory takes *{name}, which swallows mistyped arguments; name each argument",
        )
    known = arguments_of(subject.factory, RESERVED, family=subject.rest is not None)
    bare = [name for name, each in known.items() if each.annotation is inspect.Parameter.empty]
    require(not bare, f"without a type, these arguments cannot be checked: {', '.join(bare)}")
    try:
        subject.make(no_such_argument=1, **_sizes(subject))
    except (TypeError, ZooError):
        return
    raise CheckFailed("it took an argument 'no_such_argument' and said nothing")


def train_and_eval(subject: ComponentSubject) -> None:
    """`train()` and `eval()` reach every part, and running in eval mode changes no state."""
    module = subject.copy()
    for mode in (True, False):
        module.train(mode)
        deaf = [name or "itself" for name, each in module.named_modules() if each.training != mode]
        require(not deaf, f"{'train' if mode else 'eval'}() does not reach {', '.join(deaf[:3])}")
    before = _state(module)
    quietly(module, subject.inputs())
    for name, tensor in _state(module).items():
        require(torch.equal(tensor, before[name]), f"running in eval mode changes {name!r}")


def deterministic(subject: ComponentSubject) -> None:
    """In eval mode the same input gives the same numbers, and finite ones."""
    first, second = (quietly(subject.module, subject.inputs()) for _ in range(2))
    require(bool(first.isfinite().all()), "its output is not finite")
    require(torch.equal(first, second), f"outputs differ by {difference(first, second):.1e}")


def state_dict(subject: ComponentSubject) -> None:
    """Its state dict, loaded into another instance, carries over all that its output depends on."""
    other = subject.make().eval()
    said = quietly(subject.module, subject.inputs())
    other.load_state_dict(_through_a_file(subject.module))
    gap = difference(said, quietly(other, subject.inputs()))
    require(
        gap < 1e-5,
        f"after its state is loaded, another instance's output differs by {gap:.1e}: something that "
        "matters is neither a parameter nor a buffer",
    )


def pickling(subject: ComponentSubject) -> None:
    """Pickled into another process, it says the same."""
    try:
        packed = pickle.dumps(subject.module)
    except Exception as error:
        raise CheckFailed(f"it cannot be pickled: {error}") from error
    said = elsewhere.call(elsewhere.forward, packed, subject.inputs())
    gap = difference(quietly(subject.module, subject.inputs()), said)
    require(gap < 1e-4, f"in another process its output differs by {gap:.1e}")


def gradients(subject: ComponentSubject) -> None:
    """In train mode a gradient reaches every parameter that trains, and every floating input."""
    module = subject.copy().train()
    module.zero_grad(set_to_none=True)
    inputs = tuple(
        each.clone().requires_grad_(each.is_floating_point()) for each in subject.inputs()
    )
    torch.autograd.backward(scalar_of(module(*inputs)))
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            require(parameter.grad is None, f"{name!r} does not train, and got a gradient")
            continue
        require(
            parameter.grad is not None,
            f"no gradient reaches {name!r}; use it, remove it, or set requires_grad = False",
        )
        require(bool(parameter.grad.isfinite().all()), f"the gradient of {name!r} is not finite")
    for number, each in enumerate(inputs):
        if each.requires_grad:
            if each.grad is None:
                raise CheckFailed(f"no gradient reaches input {number}")
            require(bool(each.grad.any()), f"the gradient of input {number} is zero")


def dtype(subject: ComponentSubject) -> None:
    """In bfloat16 it takes and gives bfloat16."""
    module = subject.copy().to(torch.bfloat16)
    inputs = [
        each.to(torch.bfloat16) if each.is_floating_point() else each for each in subject.inputs()
    ]
    said = quietly(module, tuple(inputs))
    require(said.dtype == torch.bfloat16, f"moved to bfloat16, it gives {said.dtype}")


def device(subject: ComponentSubject) -> None:
    """On another device everything it computes with is there too (tried with tensors without data)."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    module, inputs = subject.module, subject.inputs()
    with FakeTensorMode() as fakes, torch.no_grad():

        def moved(tensor: torch.Tensor) -> Any:
            return fakes.from_tensor(tensor).to("cuda")

        state = {name: moved(each) for name, each in _tensors(module).items()}
        try:
            said = torch.func.functional_call(module, state, tuple(map(moved, inputs)))
        except Exception as error:
            first = str(error).strip().splitlines() or [type(error).__name__]
            raise CheckFailed(
                f"its parameters, buffers and inputs moved to 'cuda', it fails: {first[0]}"
            ) from error
        require(
            said.device.type == "cuda", f"moved to 'cuda', its output is on {said.device.type!r}"
        )


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
        require(gap < 1e-3, f"row {row} alone differs by {gap:.1e} from the same row in a batch")


def export(subject: ComponentSubject) -> None:
    """`torch.export` takes it, and the exported program says the same."""
    inputs = subject.inputs(2)
    try:
        program = torch.export.export(subject.copy().eval(), inputs)
    except Exception as error:
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckFailed(
            f"torch.export fails: {first[0]}. If it cannot be helped, say why in expected_failures"
        ) from error
    gap = difference(quietly(subject.module, inputs), quietly(program.module(), inputs))
    require(gap < 1e-4, f"the exported program's output differs by {gap:.1e}")


EVERY_MODULE = (arguments, train_and_eval, deterministic, state_dict, pickling)
EVERY_TOWER_PART = (
    *EVERY_MODULE,
    gradients,
    dtype,
    device,
    batch_sizes,
    batch_independence,
    export,
)


def _sizes(subject: ComponentSubject) -> dict[str, int]:
    if subject.kind != "projection_heads":
        return {}
    return dict(zip(("in_dim", "out_dim"), subject.size, strict=True))


def _state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in _tensors(module).items()}


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _through_a_file(module: nn.Module) -> dict[str, torch.Tensor]:
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    loaded: dict[str, torch.Tensor] = torch.load(file, weights_only=True)
    return loaded
