"""Checks that hold for every module a factory makes: an encoder, a head, a loss."""

from __future__ import annotations

import inspect
import io
import pickle
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from zoo.errors import ZooError
from zoo.registry.resolve import Unresolved, arguments_of
from zoo.testing import elsewhere
from zoo.testing.case import CheckFailed, NotApplicable, require
from zoo.testing.subject import ComponentSubject, difference, made, quietly, same

__all__ = ["EVERY_MODULE"]

RESERVED = frozenset({"weights", "in_dim", "out_dim"})
NO_DRIVER = ("NVIDIA driver", "CUDA enabled", "CUDA driver", "CUDA GPUs")


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
    for name, each in known.items():
        found = each.annotation
        if isinstance(found, Unresolved):
            raise CheckFailed(f"the type of {name!r}, {found.text!r}, fails: {found.reason}")
    try:
        subject.make(no_such_argument=1)
    except (TypeError, ZooError):
        return
    raise CheckFailed("it took an argument 'no_such_argument' and said nothing")


def train_and_eval(subject: ComponentSubject) -> None:
    """`train()` and `eval()` reach every part, and running in eval mode changes no state."""
    module = subject.copy()
    for mode in (True, False):
        module.train(mode)
        deaf = [
            name or "itself"
            for name, each in module.named_modules()
            if each.training != mode and not (mode and _is_constant(each))
        ]
        require(not deaf, f"{'train' if mode else 'eval'}() does not reach {', '.join(deaf[:3])}")
    before = {name: tensor.clone() for name, tensor in _tensors(module).items()}
    quietly(module, subject.inputs())
    for name, tensor in _tensors(module).items():
        require(same(tensor, before[name]), f"running in eval mode changes {name!r}")


def deterministic(subject: ComponentSubject) -> None:
    """In eval mode the same input gives the same numbers, finite ones, and is itself left as it was."""
    inputs = subject.inputs()
    first = quietly(subject.module, inputs)
    for number, (after, before) in enumerate(zip(inputs, subject.inputs(), strict=True)):
        require(same(after, before), f"it changes its input {number} in place")
    second = quietly(subject.module, inputs)
    require(bool(first.isfinite().all()), "its output is not finite")
    require(torch.equal(first, second), f"outputs differ by {difference(first, second):.1e}")


def state_dict(subject: ComponentSubject) -> None:
    """Its state dict, loaded into another instance, carries over all that its output depends on.

    The two instances share no memory.
    """
    module = subject.module
    other = subject.make().eval()
    places = {tensor.data_ptr(): name for name, tensor in _tensors(other).items() if tensor.numel()}
    for name, tensor in _tensors(module).items():
        require(
            tensor.numel() == 0 or tensor.data_ptr() not in places,
            f"two instances share {name!r}: training one would train the other",
        )
    said = quietly(module, subject.inputs())
    other.load_state_dict(_through_a_file(module))
    gap = difference(said, quietly(other, subject.inputs()))
    require(
        gap < 1e-5,
        f"after its state is loaded, another instance's output differs by {gap:.1e}: something that "
        "matters is neither a parameter nor a buffer",
    )


def pickling(subject: ComponentSubject) -> None:
    """Pickled into another process, it says the same.

    A parametrised module, which torch does not pickle, is made there and loads its state.
    """
    module, inputs = subject.module, subject.inputs()
    try:
        packed = pickle.dumps(module)
    except Exception as error:
        if not any(map(parametrize.is_parametrized, module.modules())):
            raise CheckFailed(f"it cannot be pickled: {error}") from error
        said = elsewhere.call(
            elsewhere.forward_of_another, subject.maker(), module.state_dict(), inputs
        )
    else:
        said = elsewhere.call(elsewhere.forward, packed, inputs)
    gap = difference(quietly(module, inputs), said)
    require(gap < 1e-4, f"in another process its output differs by {gap:.1e}")


def device(subject: ComponentSubject) -> None:
    """On another device everything it computes with is there too (tried with tensors without data)."""
    from torch._subclasses import fake_tensor as fake

    no_answer = (
        fake.DataDependentOutputException,
        fake.DynamicOutputShapeException,
        fake.UnsupportedOperatorException,
    )
    module, inputs = subject.module, subject.inputs()
    with fake.FakeTensorMode() as fakes, torch.no_grad():

        def moved(tensor: torch.Tensor) -> Any:
            return fakes.from_tensor(tensor).to("cuda")

        state = {name: moved(each) for name, each in _tensors(module).items()}
        try:
            said = torch.func.functional_call(module, state, tuple(map(moved, inputs)))
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            if isinstance(error, no_answer) or any(each in str(error) for each in NO_DRIVER):
                raise NotApplicable(f"tensors without data cannot tell: {first}") from error
            raise CheckFailed(
                f"its parameters, buffers and inputs moved to 'cuda', it fails: {first}"
            ) from error
        require(
            said.device.type == "cuda", f"moved to 'cuda', its output is on {said.device.type!r}"
        )


EVERY_MODULE = (made, arguments, train_and_eval, deterministic, state_dict, pickling, device)


def _is_constant(module: nn.Module) -> bool:
    """Whether it has numbers and none that trains, as a frozen norm, which may stay in eval mode."""
    tensors = _tensors(module).values()
    return bool(tensors) and not any(each.requires_grad for each in tensors)


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _through_a_file(module: nn.Module) -> dict[str, torch.Tensor]:
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    loaded: dict[str, torch.Tensor] = torch.load(file, weights_only=True)
    return loaded
