"""A plan becomes a `CLIP`: components are made with their weights, checked, and put together."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from zoo.clip import CLIP, CLIPImageEncoder, CLIPTextEncoder
from zoo.code import code_of
from zoo.contracts import check_encoder, check_head, in_dim_for
from zoo.errors import ArgumentError, SpecError, UnknownNameError, ZooError
from zoo.modes import stays_as_loaded
from zoo.registry import describe
from zoo.registry.resolve import arguments_of
from zoo.weights.origin import Origin
from zoo.weights.source import source_of

if TYPE_CHECKING:
    from zoo.assembly import Call, Plan, Side

__all__ = ["check_device", "construct"]


def construct(
    plan: Plan,
    calls: Mapping[str, Call],
    device: str | torch.device,
    *,
    saved_files: Mapping[str, Path],
    around: Mapping[str, AbstractContextManager[None]],
) -> CLIP:
    """Make every component and assemble them; see `Plan.build`.

    Args:
        calls: the plan's, by path.

    Raises:
        ArgumentError: a component could not be made.
        SpecError: the device cannot be used here.
        UnknownNameError: an encoder did not take the weights it was given.
    """
    check_device(device)
    site = _Site(plan, calls, saved_files, around)
    made = {side: site.tower(side) for side in plan.sides}
    model = CLIP(
        made.get("image"),
        made.get("text"),
        loss=site.make("loss"),
        spec=plan.filled(calls, {side: tower.encoder for side, tower in made.items()}),
        provenance=_provenance(plan, made),
    )
    site.take_trained(model)
    return model.to(device)


@dataclass(frozen=True)
class _Site:
    plan: Plan
    calls: Mapping[str, Call]
    saved_files: Mapping[str, Path]
    around: Mapping[str, AbstractContextManager[None]]

    def tower(self, side: Side) -> Any:
        """An encoder with its head, in its train mode."""
        encoder, make = self._encoder(side)
        path, out_dim = f"{side}.head", self.plan.spec.embedding_dim
        name = self.plan.components[path].component.name
        where = f"{self._at(path)}: the head {name!r}"
        in_dim = in_dim_for(self.calls[path].factory, encoder, where)
        head = self.make(path, in_dim=in_dim, out_dim=out_dim)
        check_head(head, in_dim, out_dim, where)
        tower = CLIPImageEncoder if side == "image" else CLIPTextEncoder
        train, source = getattr(self.plan.spec, side).train, source_of(encoder)
        if stays_as_loaded(train) and source and not source.is_local:
            encoder.weights_origin = Origin(make)
        try:
            return tower(encoder, head, train)
        except ZooError as error:
            error.args = (f"{self._at(f'{side}.train')}: {error}",)
            raise

    def make(self, path: str, **injected: Any) -> Any:
        """A component; what goes wrong in a factory is an error that names it."""
        call, resolved = self.calls[path], self.plan.components[path]
        first = () if resolved.rest is None else (resolved.rest,)
        try:
            return call.factory(*first, **call.args, **injected)
        except ZooError as error:
            error.args = (f"{self._at(path)}: {error}",)
            raise
        except Exception as error:
            title = f"{describe(resolved.component.kind)} {resolved.component.name!r}"
            raise ArgumentError(
                f"{self._at(path)}: the {title} of {resolved.component.origin} could not be made: "
                f"{type(error).__name__}: {error}"
            ) from error

    def take_trained(self, model: CLIP) -> None:
        """Lay trained weights into the loss and the towers of the same components.

        A tower with another encoder, other weights or another head takes none, as a component that
        gets another name drops the former one's arguments.
        """
        plan, trained = self.plan, self.plan.trained
        if trained is None:
            return
        parts: dict[str, Any] = {}
        for side in plan.sides:
            call, tower = self.calls[f"{side}.encoder"], getattr(model, f"{side}_encoder")
            default = plan.preset(f"{side}.encoder", call.factory)
            if trained.same_tower(side, plan.spec, call.args["weights"], default):
                parts |= {f"{side}.encoder": tower.encoder, f"{side}.head": tower.head}
        if plan.spec.loss.name == trained.spec.loss.name:
            parts["loss"] = model.loss
        for path, origin in trained.lay_into(parts).items():
            model.provenance[path]["trained"] = origin

    def _encoder(self, side: Side) -> tuple[Any, Callable[[], Any]]:
        """An encoder, and how to make it again."""
        path = f"{side}.encoder"
        call, component = self.calls[path], self.plan.components[path].root
        small = {}
        if path in self.saved_files and "saved_files" in arguments_of(call.factory):
            small["saved_files"] = self.saved_files[path]
        make = partial(self.make, path, **small)
        with self.around.get(path, contextlib.nullcontext()):
            encoder = make()
        check_encoder(side, encoder, f"{path}: {component.name!r} of {component.origin}")
        self._check_weights_taken(side, call, encoder)
        encoder.factory_code = code_of(call.factory)
        return encoder, make

    def _check_weights_taken(self, side: Side, call: Call, encoder: nn.Module) -> None:
        """Refuse a tag of which nothing says that it was loaded; the factory's own default may pass."""
        tag, default = call.args["weights"], arguments_of(call.factory)["weights"].default
        listed = hasattr(sys.modules.get(call.factory.__module__), "weights_tags")
        if tag in (None, default) or listed or source_of(encoder) is not None:
            return
        raise UnknownNameError(
            f"{self._at(f'{side}.weights')}: the {side} encoder "
            f"{self.plan.components[f'{side}.encoder'].asked_for!r} took the weights {tag!r}, and "
            "nothing says that it has them: its module has no weights_tags(), and it no weights_source"
        )

    def _at(self, path: str) -> str:
        return f"{path} ({self.plan.layered.source_of(path)})"


def _provenance(plan: Plan, made: Mapping[Side, Any]) -> dict[str, Any]:
    provenance: dict[str, Any] = {}
    for path, resolved in plan.components.items():
        provenance[path] = {
            "name": resolved.component.name,
            "origin": resolved.component.origin.as_json(),
            "target": resolved.root.target,
        }
        side, _, part = path.partition(".")
        if part == "encoder":
            source = source_of(made[cast("Side", side)].encoder)
            provenance[path]["weights"] = source.as_json() if source else None
    return provenance


def check_device(device: str | torch.device) -> None:
    """Raise unless tensors can be made there.

    Raises:
        SpecError: there is no such device here, or nothing is called so.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SpecError(
            f"the device {str(device)!r} cannot be used here: {str(error).partition('.')[0]}"
        ) from error
