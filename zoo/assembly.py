"""A spec becomes a `CLIP`: names first, then arguments, then weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, cast

from zoo.errors import PluginError, SpecError, ZooError, suggestion
from zoo.registry import Catalog, Kind, catalog
from zoo.registry.resolve import Resolved, arguments_of, bind, resolve
from zoo.spec import ModelSpec, Ref, TowerSpec, validate
from zoo.spec_layers import Layered, layers_of

if TYPE_CHECKING:
    import torch
    from torch import nn

    from zoo.clip import CLIP

__all__ = ["Plan", "build", "create_clip_model", "plan"]

Side = Literal["image", "text"]
SIDES: tuple[Side, ...] = ("image", "text")
Source = str | PathLike[str] | Mapping[str, Any] | ModelSpec

_RESERVED = {
    "image_encoders": frozenset({"weights"}),
    "text_encoders": frozenset({"weights"}),
    "projection_heads": frozenset({"in_dim", "out_dim"}),
    "losses": frozenset[str](),
}


_CONTRACT: dict[Side, tuple[str, ...]] = {
    "image": ("out_dim", "preprocess"),
    "text": ("out_dim", "context_length", "tokenizer"),
}


def build(
    name_or_spec: Source,
    *,
    device: str | torch.device = "cpu",
    pretrained: bool = True,
    overrides: Mapping[str, Any] | None = None,
    towers: Iterable[str] = SIDES,
) -> CLIP:
    """Build a model from a name, a spec, a dict, or a `.toml` or `.json` file.

    Args:
        device: where the model goes.
        pretrained: False builds with random weights, without network and without any file.
        overrides: dotted paths to values, such as `{"image.head.args.hidden_dim": 1024}`.
        towers: which of `image` and `text` to build; the other costs nothing.

    Raises:
        UnknownNameError, AmbiguousNameError: of a model or component.
        SpecError, ArgumentError: the spec is not valid; nothing heavy was loaded.
        WeightsError: weights are missing, damaged or of another model.
        PluginError: a component's module cannot be imported.
    """
    return plan(name_or_spec, pretrained=pretrained, overrides=overrides, towers=towers).build(
        device
    )


def create_clip_model(
    embedding_dim: int = 512,
    clip_model_name: str = "openai/clip-vit-base-patch32",
    device: str | torch.device = "cpu",
    use_cached_embeddings: bool = False,
) -> CLIP:
    """The reference model: a ResNet50 that trains, against a frozen CLIP text tower.

    Args:
        embedding_dim: dimension of the shared space, which is the text tower's own.
        clip_model_name: HuggingFace repository or folder of the CLIP whose text half is used.
        use_cached_embeddings: build no text tower, for training on stored text embeddings.
    """
    from zoo.encoders.clip_text import REPOSITORY

    overrides: dict[str, Any] = {"embedding_dim": embedding_dim}
    if clip_model_name != REPOSITORY:
        overrides["text.encoder"] = f"hf/{clip_model_name}"
    return build(
        "resnet50-clip",
        device=device,
        overrides=overrides,
        towers=("image",) if use_cached_embeddings else SIDES,
    )


def plan(
    name_or_spec: Source,
    *,
    pretrained: bool = True,
    overrides: Mapping[str, Any] | None = None,
    towers: Iterable[str] = SIDES,
    names: Catalog | None = None,
) -> Plan:
    """Resolve every name and validate the spec, before any component is imported."""
    names = names or catalog()
    if isinstance(name_or_spec, ModelSpec):
        name_or_spec = name_or_spec.model_dump()
    layered = layers_of(name_or_spec, names, overrides)
    spec = validate(layered)
    if not pretrained:
        spec = spec.without_weights()
    sides = _sides(towers)
    found: dict[str, Resolved] = {}
    for side in sides:
        tower: TowerSpec = getattr(spec, side)
        kind = cast(Kind, f"{side}_encoders")
        found[f"{side}.encoder"] = _resolve(names, kind, tower.encoder, f"{side}.encoder", layered)
        found[f"{side}.head"] = _resolve(
            names, "projection_heads", tower.head, f"{side}.head", layered
        )
    found["loss"] = _resolve(names, "losses", spec.loss, "loss", layered)
    return Plan(spec, sides, found, layered)


@dataclass(frozen=True)
class Plan:
    """A valid spec with every name resolved; `build` turns it into a model."""

    spec: ModelSpec
    sides: tuple[Side, ...]
    components: Mapping[str, Resolved]
    """By path in the spec: `image.encoder`, `image.head`, …, `loss`."""
    layered: Layered

    def build(self, device: str | torch.device = "cpu") -> CLIP:
        """Bind all arguments, then load weights and assemble; see `zoo.build`."""
        calls = {path: self._bind(path) for path in self.components}

        from zoo.clip import CLIP, CLIPImageEncoder, CLIPTextEncoder

        towers: dict[str, Any] = {"image": None, "text": None}
        provenance: dict[str, Any] = {}
        tags: dict[str, str | None] = {}
        for side in self.sides:
            spec: TowerSpec = getattr(self.spec, side)
            encoder = self._make(f"{side}.encoder", calls)
            self._check_encoder(side, encoder)
            source = getattr(encoder, "weights_source", None)
            if source is not None:
                tags[side] = source.tag
            head = self._make(
                f"{side}.head", calls, in_dim=encoder.out_dim, out_dim=self.spec.embedding_dim
            )
            self._check_head(side, head, encoder.out_dim)
            tower = CLIPImageEncoder if side == "image" else CLIPTextEncoder
            towers[side] = tower(encoder, head, spec.train)
            provenance[f"{side}.encoder"] = {"weights": source.as_json() if source else None}
            provenance[f"{side}.head"] = {}
        loss = self._make("loss", calls)
        provenance["loss"] = {}
        for path, resolved in self.components.items():
            provenance[path] = {**_origin_of(resolved), **provenance[path]}
        model = CLIP(
            towers["image"],
            towers["text"],
            loss=loss,
            spec=self._filled(calls, tags),
            provenance=provenance,
        )
        return model.to(device)

    def check(self) -> ModelSpec:
        """Import every factory and check its arguments, without calling any.

        Returns:
            The spec with every argument and weights tag filled in.

        Raises:
            ArgumentError: an argument that a component does not take, or of the wrong type.
            PluginError: a component's module cannot be imported.
        """
        return self._filled({path: self._bind(path) for path in self.components})

    def sketch(self) -> CLIP:
        """The model without weights and, where its architectures allow it, without memory.

        It has the sizes and train modes of the real one. Nothing is fetched.
        """
        import torch

        bare = replace(self, spec=self.spec.without_weights())
        try:
            with torch.device("meta"):
                return bare.build("meta")
        except NotImplementedError:  # an architecture that reads tensors while it is built
            return bare.build()

    def _bind(self, path: str) -> _Call:
        resolved = self.components[path]
        factory = resolved.load()
        reserved = _RESERVED[resolved.component.kind]
        where = self.layered.source_of(f"{path}.args")
        args = bind(factory, resolved, reserved, f"{path}.args", where)
        if "weights" in reserved:
            if "weights" not in arguments_of(factory):
                raise PluginError(
                    f"{path}: the factory of {resolved.root.name!r} of {resolved.root.origin} takes "
                    "no argument 'weights', which every encoder's does"
                )
            asked = getattr(self.spec, path.partition(".")[0]).weights
            preset = resolved.weights or arguments_of(factory)["weights"].default
            args["weights"] = preset if asked == "default" else asked
        return _Call(factory, args)

    def _filled(
        self, calls: Mapping[str, _Call], tags: Mapping[str, str | None] | None = None
    ) -> ModelSpec:
        filled: dict[str, Any] = self.spec.model_dump()
        for path, call in calls.items():
            side, _, part = path.partition(".")
            ref = filled[side][part] if part else filled[side]
            ref["args"] = json.loads(json.dumps(call.args))
            if part == "encoder":
                tag = ref["args"].pop("weights")
                filled[side]["weights"] = (tags or {}).get(side, tag)
        return ModelSpec.model_validate(filled)

    def _make(self, path: str, calls: Mapping[str, _Call], **injected: Any) -> Any:
        call, resolved = calls[path], self.components[path]
        first = () if resolved.rest is None else (resolved.rest,)
        try:
            return call.factory(*first, **call.args, **injected)
        except ZooError as error:
            raise type(error)(f"{path} ({self.layered.source_of(path)}): {error}") from error

    def _check_encoder(self, side: Side, encoder: nn.Module) -> None:
        for attribute in _CONTRACT[side]:
            if not hasattr(encoder, attribute):
                component = self.components[f"{side}.encoder"].root
                raise PluginError(
                    f"{side}.encoder: what {component.name!r} of {component.origin} built has no "
                    f"{attribute!r}; every {side} encoder has {', '.join(_CONTRACT[side])}"
                )

    def _check_head(self, side: Side, head: nn.Module, in_dim: int) -> None:
        import torch

        from zoo.clip import evaluating

        wanted = (1, self.spec.embedding_dim)
        with evaluating(head), torch.no_grad():
            try:
                shape = tuple(head(torch.zeros(1, in_dim)).shape)
            except RuntimeError as error:
                raise self._misfit(side, in_dim, f"it fails on them: {error}") from error
        if shape != wanted:
            raise self._misfit(side, in_dim, f"its output for one of them has shape {shape}")

    def _misfit(self, side: Side, in_dim: int, what: str) -> SpecError:
        path = f"{side}.head"
        name = self.components[path].component.name
        return SpecError(
            f"{path} ({self.layered.source_of(path)}): the head {name!r} does not map the encoder's "
            f"{in_dim} features to embedding_dim = {self.spec.embedding_dim}: {what}"
        )


@dataclass(frozen=True)
class _Call:
    factory: Callable[..., nn.Module]
    args: dict[str, Any]


def _sides(towers: Iterable[str]) -> tuple[Side, ...]:
    wanted = [towers] if isinstance(towers, str) else list(towers)
    for side in wanted:
        if side not in SIDES:
            raise SpecError(
                f"towers: there is no tower {side!r}; the towers are {' and '.join(SIDES)}."
                f"{suggestion(side, SIDES)}"
            )
    if not wanted:
        raise SpecError("towers: name at least one of image and text")
    return tuple(side for side in SIDES if side in wanted)


def _resolve(names: Catalog, kind: Kind, ref: Ref, path: str, layered: Layered) -> Resolved:
    try:
        return resolve(names, kind, ref.name, ref.args)
    except ZooError as error:
        raise type(error)(f"{path} ({layered.source_of(path)}): {error}") from error


def _origin_of(resolved: Resolved) -> dict[str, Any]:
    return {
        "name": resolved.component.name,
        "origin": resolved.component.origin.as_json(),
        "target": resolved.root.target,
    }
