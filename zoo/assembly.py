"""From a name or a spec to a model: names are resolved and arguments bound before anything is made."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from zoo.errors import PluginError, SpecError, UnknownNameError, ZooError, suggestion
from zoo.registry import Catalog, Kind, catalog, describe
from zoo.registry.resolve import Resolved, arguments_of, bind, resolve
from zoo.spec import ModelSpec, Ref, TowerSpec, WithLoRA, validate
from zoo.spec_layers import Layered, layers_of
from zoo.weights.source import check_tag, is_address, source_of
from zoo.weights.trained import TrainedModel, trained_model

if TYPE_CHECKING:
    import torch
    from torch import nn

    from zoo.clip import CLIP

__all__ = ["Call", "Plan", "build", "create_clip_model", "plan", "plan_of"]

Side = Literal["image", "text"]
SIDES: tuple[Side, ...] = ("image", "text")
Source = str | PathLike[str] | Mapping[str, Any] | ModelSpec

_RESERVED = {
    "image_encoders": frozenset({"weights", "saved_files"}),
    "text_encoders": frozenset({"weights", "saved_files"}),
    "projection_heads": frozenset({"in_dim", "out_dim"}),
    "losses": frozenset[str](),
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
    recipe: str | PathLike[str] | None = None,
) -> Plan:
    """Resolve every name and validate the spec, before any component is imported.

    Args:
        recipe: a file with a table `[train]`, laid over the model's own and below the overrides.
    """
    names = names or catalog()
    if isinstance(name_or_spec, ModelSpec):
        name_or_spec = name_or_spec.model_dump()
    layered = layers_of(name_or_spec, names, overrides, recipe)
    return plan_of(layered, names, pretrained=pretrained, towers=towers)


def plan_of(
    layered: Layered,
    names: Catalog,
    *,
    pretrained: bool = True,
    towers: Iterable[str] = SIDES,
) -> Plan:
    """As `plan`, of layers that are put together already."""
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
    if spec.trained is None:
        return Plan(spec, sides, found, layered)
    model = trained_model(names, spec.trained, f"trained ({layered.source_of('trained')})")
    own = validate(layers_of(spec.trained, names))
    return Plan(spec, sides, found, layered, TrainedModel(model, own))


@dataclass(frozen=True)
class Call:
    """A factory, and what it is given."""

    factory: Callable[..., nn.Module]
    args: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """A valid spec with every name resolved; `build` turns it into a model."""

    spec: ModelSpec
    sides: tuple[Side, ...]
    components: Mapping[str, Resolved]
    """By path in the spec: `image.encoder`, `image.head`, …, `loss`."""
    layered: Layered
    trained: TrainedModel | None = None
    """Where parts take trained weights from."""

    def fresh(self) -> Plan:
        """The same model before any training: encoders have their own weights, heads random ones."""
        return replace(self, spec=self.spec.model_copy(update={"trained": None}), trained=None)

    def build(
        self,
        device: str | torch.device = "cpu",
        *,
        saved_files: Mapping[str, Path] | None = None,
        around: Mapping[str, AbstractContextManager[None]] | None = None,
    ) -> CLIP:
        """Bind all arguments, then load weights and assemble; see `zoo.build`.

        Args:
            saved_files: by path, the folder of an encoder's small files in a saved model.
            around: by path, a context in which a component is made.
        """
        calls = self._calls()

        from zoo.construction import construct

        return construct(self, calls, device, saved_files=saved_files or {}, around=around or {})

    def check(self) -> ModelSpec:
        """Import every factory and check its arguments, without calling any.

        Returns:
            The spec with every argument and weights tag filled in.

        Raises:
            ArgumentError: an argument that a component does not take, or of the wrong type.
            PluginError: a component's module cannot be imported.
            MissingExtraError: a train mode needs a package that is not installed.
        """
        return self.filled(self._calls())

    def sketch(self) -> CLIP:
        """The model without weights and, where its architectures allow it, without memory.

        It has the sizes and train modes of the real one. Nothing is fetched.
        """
        import torch

        bare = replace(self, spec=self.spec.without_weights(), trained=None)
        try:
            with torch.device("meta"):
                return bare.build("meta")
        except ZooError:  # some architectures read tensors while they are built
            return bare.build()

    def preset(self, path: str, factory: Callable[..., Any]) -> Any:
        """The tag that the weights "default" of an encoder mean."""
        return self.components[path].weights or arguments_of(factory)["weights"].default

    def filled(
        self, calls: Mapping[str, Call], encoders: Mapping[Side, nn.Module] | None = None
    ) -> ModelSpec:
        """The spec with all arguments, and with what the weights of encoders decided, once made."""
        filled: dict[str, Any] = self.spec.model_dump()
        for path, call in calls.items():
            side, _, part = path.partition(".")
            ref = filled[side][part] if part else filled[side]
            ref["args"] = _as_json(call.args, self.components[path].args)
            if part == "encoder":
                filled[side]["weights"] = call.args["weights"]
                encoder = encoders[cast(Side, side)] if encoders else None
                source = source_of(encoder)
                if source is not None:
                    filled[side]["weights"] = source.tag
                    decided = getattr(encoder, "resolved_args", {})
                    # A factory around another one takes less: what it does not take, it says itself.
                    ref["args"] |= {name: decided[name] for name in decided if name in call.args}
        return ModelSpec.model_validate(filled)

    def _calls(self) -> dict[str, Call]:
        """Every factory with its arguments, and what train modes need."""
        if any(isinstance(getattr(self.spec, side).train, WithLoRA) for side in self.sides):
            from zoo.lora import import_peft

            import_peft()
        return {path: self._bind(path) for path in self.components}

    def _bind(self, path: str) -> Call:
        resolved = self.components[path]
        factory = resolved.load()
        reserved = _RESERVED[resolved.component.kind]
        args = bind(factory, resolved, reserved, f"{path}.args", self.layered.source_of)
        if "weights" in reserved:
            parameter = arguments_of(factory).get("weights")
            if parameter is None or parameter.default is parameter.empty:
                raise PluginError(
                    f"{path}: the factory of {resolved.root.name!r} of {resolved.root.origin} takes "
                    "no argument 'weights' with a default, which every encoder's does"
                )
            asked = getattr(self.spec, path.partition(".")[0]).weights
            preset = self.preset(path, factory)
            tag = preset if asked == "default" else asked
            args["weights"] = None if tag == "none" else tag
            self._check_tag(path.partition(".")[0], factory, args["weights"])
        return Call(factory, args)

    def _check_tag(self, side: str, factory: Callable[..., Any], tag: str | None) -> None:
        """Refuse a tag that the encoder does not have, where its module has `weights_tags`.

        An address passes where its module says `takes_addresses`, and if it is written right.
        """
        resolved = self.components[f"{side}.encoder"]
        module = sys.modules.get(factory.__module__)
        tags = getattr(module, "weights_tags", None)
        where = f"{side}.weights ({self.layered.source_of(f'{side}.weights')})"
        if tag is not None and is_address(tag) and getattr(module, "takes_addresses", False):
            _check_address(tag, where)
            return
        if tags is None:
            return
        try:
            found = tags() if resolved.rest is None else tags(resolved.rest)
        except UnknownNameError as error:  # the family has no such member
            error.args = (f"{side}.encoder ({self.layered.source_of(f'{side}.encoder')}): {error}",)
            raise
        check_tag(tag, found, f"{where}: the {side} encoder {resolved.asked_for!r}")


def _check_address(weights: str, where: str) -> None:
    from zoo.weights.address import address_of

    try:
        address_of(weights)
    except ZooError as error:
        error.args = (f"{where}: {error}",)
        raise


def _as_json(args: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as a spec holds them: those given as given, and such defaults as JSON can say."""
    data: dict[str, Any] = {}
    for name, value in args.items():
        if name == "weights":
            continue
        with contextlib.suppress(TypeError, ValueError):
            data[name] = json.loads(json.dumps(given.get(name, value), allow_nan=False))
    return data


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
        found = resolve(names, kind, ref.name, ref.args)
        if found.root.is_family and found.rest is None:
            family = found.root.name
            raise UnknownNameError(
                f"{family!r} is a family of {describe(kind)}s; name one, as in {family[:-1]}NAME"
            )
    except ZooError as error:
        error.args = (f"{path} ({layered.source_of(path)}): {error}",)
        raise
    return found
