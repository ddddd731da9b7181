"""A component under test: its factory, the arguments it is made with, and what it takes as input."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.contracts import check_encoder
from zoo.errors import ArgumentError, PluginError
from zoo.registry import Kind
from zoo.testing.case import CheckFailed, NotApplicable
from zoo.testing.loss_runs import give_teacher

__all__ = ["ComponentSubject", "difference", "quietly", "same", "scalar_of"]

TEXTS = ("a cat", "two dogs and a slice of pizza on a table", "ünïcode 🐶 (and punctuation!)")
HEAD_SIZES = ((48, 48), (64, 32), (32, 64))
"""The `(in_dim, out_dim)` that heads are tried with; the first that a head takes is its usual one."""
EMBEDDING_DIM = 32
"""Of the batches that losses get, unless a loss has an `embedding_dim` of its own."""
NOISE = 0.1


@dataclass(frozen=True, eq=False)
class ComponentSubject:
    """An encoder, a head or a loss, made with random weights unless `weights` says others."""

    kind: Kind
    name: str
    load: Callable[[], Callable[..., Any]]
    """Imports the factory."""
    args: Mapping[str, Any] = field(default_factory=dict)
    rest: str | None = None
    """For a member of a family: the rest of its name."""
    weights: str | None = None

    @cached_property
    def factory(self) -> Callable[..., Any]:
        """Imported when it is first needed."""
        try:
            return self.load()
        except PluginError as error:
            raise NotApplicable("it cannot be imported, as the check 'made' says") from error

    def maker(self, **injected: Any) -> Callable[[], Any]:
        """The factory with its arguments. Heads get the first size they take unless they get others."""
        first = () if self.rest is None else (self.rest,)
        if self.kind.endswith("encoders"):
            injected = {"weights": self.weights, **injected}
        if self.kind == "projection_heads":
            injected = {**dict(zip(("in_dim", "out_dim"), self.size, strict=True)), **injected}
        return functools.partial(self.factory, *first, **self.args, **injected)

    def make(self, **injected: Any) -> Any:
        """A new instance. A loss that takes a teacher's embeddings has a teacher that agrees."""
        instance = self.maker(**injected)()
        if self.kind == "losses" and isinstance(instance, nn.Module):
            give_teacher(instance)
        return instance

    @property
    def module(self) -> Any:
        """One instance in eval mode, shared by checks that do not change it."""
        made = _built(self)
        if isinstance(made, CheckFailed):
            raise NotApplicable("it cannot be made, as the check 'made' says")
        return made

    def copy(self) -> Any:
        """A copy of the shared instance, to be changed."""
        try:
            return copy.deepcopy(self.module)
        except RuntimeError:  # torch's weight_norm refuses
            made = self.make().eval()
            made.load_state_dict(self.module.state_dict())
            return made

    @cached_property
    def size(self) -> tuple[int, int]:
        """For a head: the `(in_dim, out_dim)` it is made with here."""
        return _taken_size(self)

    def inputs(self, count: int = 3, module: Any = None) -> tuple[Tensor, ...]:
        """A batch that `module` takes, the same each time; pictures and features are seeded noise."""
        random = torch.Generator().manual_seed(7)
        module = module or self.module

        def noise(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=random)

        if self.kind == "image_encoders":
            return (noise(count, 3, *module.preprocess.crop),)
        if self.kind == "text_encoders":
            tokens = module.tokenizer([TEXTS[row % len(TEXTS)] for row in range(count)])
            return tokens["input_ids"], tokens["attention_mask"]
        if self.kind == "projection_heads":
            places = (5,) if getattr(self.factory, "takes_tokens", False) else ()
            return (noise(count, *places, self.size[0]),)
        dim = getattr(module, "embedding_dim", EMBEDDING_DIM)
        return F.normalize(noise(count, dim)), F.normalize(noise(count, dim))

    def expected_failures(self) -> Mapping[str, str]:
        declared = getattr(self.module, "expected_failures", {})
        return declared if isinstance(declared, Mapping) else {}


def made(subject: ComponentSubject) -> None:
    """Its factory can be imported and makes an `nn.Module` with the attributes of the contract."""
    instance = _built(subject)
    if isinstance(instance, CheckFailed):
        raise instance


@functools.lru_cache(maxsize=1)
def _built(subject: ComponentSubject) -> nn.Module | CheckFailed:
    """The instance of the subject at hand, or why there is none; the former one is let go."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        try:
            subject.load()
            instance = subject.make()
            _check_made(subject, instance)
            _stir(subject, instance)
        except (CheckFailed, PluginError) as error:
            return CheckFailed(str(error))
        except (Exception, SystemExit) as error:
            return CheckFailed(f"it could not be made: {type(error).__name__}: {error}")
        module: nn.Module = instance.eval()
        return module


def _check_made(subject: ComponentSubject, instance: Any) -> None:
    if not isinstance(instance, nn.Module):
        raise CheckFailed(f"the factory gave {instance!r:.80}, not an nn.Module")
    for name, tensor in (*instance.named_parameters(), *instance.named_buffers()):
        if nn.parameter.is_lazy(tensor):
            raise CheckFailed(
                f"{name!r} has no size until a first batch has run, so that no optimizer can take it; "
                "give the layer its sizes instead of a lazy one"
            )
    if subject.kind.endswith("encoders"):
        check_encoder("image" if subject.kind == "image_encoders" else "text", instance, "it")


def _stir(subject: ComponentSubject, module: nn.Module) -> None:
    """Noise for what starts as a constant: a gate that starts closed hides what is behind it."""
    if subject.kind == "losses":  # whose parameters, as temperatures, mean something
        return
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.numel() and bool((parameter == parameter.flatten()[0]).all()):
                noise = torch.randn(parameter.shape, generator=random)
                parameter.add_((NOISE * noise).to(parameter.dtype))


def _taken_size(subject: ComponentSubject) -> tuple[int, int]:
    refusals = []
    for in_dim, out_dim in HEAD_SIZES:
        try:
            subject.factory(in_dim=in_dim, out_dim=out_dim, **subject.args)
        except ArgumentError as error:
            refusals.append(str(error))
            continue
        return in_dim, out_dim
    raise CheckFailed(f"it takes none of the sizes {HEAD_SIZES}: {refusals[0]}")


def quietly(module: Any, inputs: tuple[Tensor, ...]) -> Tensor:
    """What a module says, without gradients."""
    with torch.no_grad():
        said: Tensor = module(*inputs)
    return said


def scalar_of(output: Tensor) -> Tensor:
    """A scalar with a gradient of its own for every number of the output."""
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(3))
    return (output.float() * weights).sum()


def difference(one: Tensor, other: Tensor) -> float:
    """The largest difference, in shares of the largest number."""
    if one.shape != other.shape:
        raise CheckFailed(f"shapes differ: {tuple(one.shape)} and {tuple(other.shape)}")
    scale = max(one.abs().max().item(), other.abs().max().item(), 1e-12)
    return (one.float() - other.float()).abs().max().item() / scale


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal, with NaN equal to itself."""
    return one.shape == other.shape and bool(
        ((one == other) | ((one != one) & (other != other))).all()
    )
