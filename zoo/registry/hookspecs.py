"""The pluggy hooks through which projection heads and losses join the zoo, the built-in ones too."""

from __future__ import annotations

from dataclasses import dataclass

import pluggy

__all__ = [
    "PROJECT",
    "HookedComponent",
    "hookimpl",
    "hookspec",
    "zoo_losses",
    "zoo_projection_heads",
]

PROJECT = "zoo"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True)
class HookedComponent:
    """A head or loss as data. Nothing is imported until a model asks for it by name."""

    name: str
    target: str
    """`"module:attribute"` of the factory."""
    summary: str
    deprecated: str = ""
    """What to use instead. The name still builds, with a warning, and is not listed."""


@hookspec
def zoo_projection_heads() -> list[HookedComponent]:
    """Projection heads to add: factories `(*, in_dim, out_dim, **args) -> nn.Module`.

    The module maps `Float[B, in_dim]` to `Float[B, out_dim]`.
    """
    raise AssertionError("a hook specification is not called")


@hookspec
def zoo_losses() -> list[HookedComponent]:
    """Losses to add: factories `(**args) -> nn.Module`.

    The module maps two batches of L2-normalised embeddings, `Float[B, D]` each, to a scalar,
    and owns its temperature and bias.
    """
    raise AssertionError("a hook specification is not called")
