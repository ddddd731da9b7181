"""The trained weights of a named model, laid into the parts of a model that has the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo.errors import SpecError, ZooError, suggestion
from zoo.registry import Catalog, Component
from zoo.spec import ModelSpec
from zoo.weights.read import check_sha256, load_strictly, read_tensors

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["TrainedModel", "trained_model"]


@dataclass(frozen=True)
class TrainedModel:
    """A named model that comes with trained weights, and its spec."""

    component: Component
    spec: ModelSpec

    def same_tower(self, side: str, other: ModelSpec, tag: str | None, preset: str | None) -> bool:
        """Whether another model's tower has this one's encoder, encoder weights and head, by name.

        Args:
            tag: of the weights that the other's encoder has.
            preset: the tag that "default" means.
        """
        mine, theirs = getattr(self.spec, side), getattr(other, side)
        own = preset if mine.weights == "default" else mine.weights
        return (mine.encoder.name, own, mine.head.name) == (
            theirs.encoder.name,
            tag,
            theirs.head.name,
        )

    def lay_into(self, parts: Mapping[str, nn.Module]) -> dict[str, dict[str, Any]]:
        """Load what there is for these parts; for each path that got some, where it is from.

        Raises:
            WeightsError: the file is missing, damaged or not the one that is pinned, or its tensors
                have other shapes than the part.
        """
        trained = self.component.trained
        assert trained is not None
        check_sha256(trained.path, trained.sha256, "install again what it came with")
        origin = {
            "model": self.component.name,
            "origin": self.component.origin.as_json(),
            "file": trained.path.name,
            "sha256": trained.sha256,
        }
        found = {}
        for path, tensors in _by_part(read_tensors(trained.path)).items():
            if path in parts:
                load_strictly(
                    parts[path],
                    tensors,
                    f"{path}: from the trained weights of {self.component.name!r} of "
                    f'{self.component.origin}, of which trained = "none" takes none',
                )
                found[path] = origin
        return found


def trained_model(names: Catalog, name: str, where: str) -> Component:
    """The named model whose weights a spec asks for.

    Raises:
        UnknownNameError, SpecError: there is none, or it comes without trained weights.
    """
    try:
        component = names.find("models", name).component
    except ZooError as error:
        error.args = (f"{where}: {error}",)
        raise
    if component.trained is None:
        those = sorted(each.name for each in names.select("models") if each.trained is not None)
        raise SpecError(
            f"{where}: the model {name!r} of {component.origin} comes without trained weights; those "
            f"that have some: {', '.join(those) or 'none'}.{suggestion(name, those)}"
        )
    return component


def _by_part(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        words = name.split(".")
        depth = 1 if words[0] == "loss" else 2
        parts.setdefault(".".join(words[:depth]), {})[".".join(words[depth:])] = tensor
    return parts
