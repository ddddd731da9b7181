"""A component under test: its factory, the arguments it is made with, and what it takes as input."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ArgumentError
from zoo.registry import Kind
from zoo.testing.case import CheckFailed

__all__ = ["ComponentSubject", "difference", "quietly", "scalar_of"]

TEXTS = ("a cat", "two dogs and a slice of pizza on a table", "ünïcode 🐶 (and punctuation!)")
HEAD_SIZES = ((48, 48), (64, 32), (32, 64))
"""The `(in_dim, out_dim)` that heads are tried with; the first that a head takes is its usual one."""
EMBEDDING_DIM = 32


@dataclass(frozen=True, eq=False)
class ComponentSubject:
    """An encoder, a head or a loss, made with random weights."""

    kind: Kind
    name: str
    factory: Callable[..., Any]
    args: Mapping[str, Any] = field(default_factory=dict)
    rest: str | None = None
    """For a member of a family: the rest of its name."""

    def make(self, **injected: Any) -> Any:
        """A new instance. Heads get the first size they take unless `in_dim` and `out_dim` are given."""
        first = () if self.rest is None else (self.rest,)
        if self.kind.endswith("encoders"):
            injected = {"weights": None, **injected}
        if self.kind == "projection_heads" and not injected:
            injected = dict(zip(("in_dim", "out_dim"), self.size, strict=True))
        return self.factory(*first, **self.args, **injected)

    @property
    def module(self) -> Any:
        """One instance in eval mode, shared by checks that do not change it."""
        made = _built(self)
        if isinstance(made, Exception):
            raise CheckFailed(f"it could not be made: {type(made).__name__}: {made}") from made
        return made

    def copy(self) -> Any:
        """A copy of the shared instance, to be changed."""
        return copy.deepcopy(self.module)

    @property
    def size(self) -> tuple[int, int]:
        """For a head: the `(in_dim, out_dim)` it is made with here."""
        return _taken_size(self)

    def inputs(self, count: int = 3) -> tuple[Tensor, ...]:
        """A batch that `module` takes, the same each time; pictures and features are seeded noise."""
        random = torch.Generator().manual_seed(7)

        def noise(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=random)

        if self.kind == "image_encoders":
            return (noise(count, 3, *self.module.preprocess.crop),)
        if self.kind == "text_encoders":
            tokens = self.module.tokenizer([TEXTS[row % len(TEXTS)] for row in range(count)])
            return tokens["input_ids"], tokens["attention_mask"]
        if self.kind == "projection_heads":
            places = (5,) if getattr(self.factory, "takes_tokens", False) else ()
            return (noise(count, *places, self.size[0]),)
        return F.normalize(noise(count, EMBEDDING_DIM)), F.normalize(noise(count, EMBEDDING_DIM))

    def expected_failures(self) -> Mapping[str, str]:
        declared = getattr(self.module, "expected_failures", {})
        return declared if isinstance(declared, Mapping) else {}


@functools.lru_cache(maxsize=1)
def _built(subject: ComponentSubject) -> nn.Module | Exception:
    """The instance of the subject at hand; the former one is let go."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        try:
            made: nn.Module = subject.make()
            return made.eval()
        except Exception as error:
            return error


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
