"""Checks of named models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.assembly import Plan, plan
from zoo.clip import CLIP
from zoo.errors import WeightsError, ZooError
from zoo.registry import Catalog, Kind
from zoo.spec import ModelSpec
from zoo.testing.case import CheckFailed, require

__all__ = ["MODEL", "ModelSubject"]


@dataclass(frozen=True, eq=False)
class ModelSubject:
    """A named model, planned without weights."""

    name: str
    ref: str
    """The name that finds it whatever else there is: `distribution/name`."""
    names: Catalog
    kind: Kind = "models"

    def plan(self) -> Plan:
        try:
            return plan(self.ref, names=self.names, pretrained=False)
        except ZooError as error:
            raise CheckFailed(str(error)) from error

    def expected_failures(self) -> Mapping[str, str]:
        return {}


def spec(subject: ModelSubject) -> None:
    """Its spec is valid, all its names and arguments are known, and it survives JSON."""
    try:
        checked = subject.plan().check()
    except ZooError as error:
        raise CheckFailed(str(error)) from error
    again = ModelSpec.model_validate_json(checked.model_dump_json())
    require(again == checked, "its spec differs after a round trip through JSON")


def summary(subject: ModelSubject) -> None:
    """It says in a few words what it is."""
    component = subject.names.find("models", subject.ref).component
    require(bool(component.summary.strip()), "it has no summary; add one to its table")


def builds(subject: ModelSubject) -> None:
    """It is built with random weights, and both towers give unit vectors of `embedding_dim`."""
    model = subject.plan().build().eval()
    assert model.spec is not None
    encoder: Any = model.image_encoder.encoder  # type: ignore[union-attr]
    with torch.no_grad():
        embeds = {
            "image": model.encode_image(torch.rand(2, 3, *encoder.preprocess.crop)),
            "text": model.encode_text(**_tokens(model)),
        }
    for side, said in embeds.items():
        require(
            tuple(said.shape) == (2, model.spec.embedding_dim),
            f"two inputs of the {side} tower give shape {tuple(said.shape)}",
        )
        gap = (said.norm(dim=-1) - 1).abs().max().item()
        require(gap < 1e-4, f"the {side} tower's vectors are {gap:.1e} off unit length")


def _tokens(model: CLIP) -> dict[str, Tensor]:
    """Two texts; where the tokenizer's files are not here, two rows of ids that any vocabulary has."""
    try:
        return model.tokenize(["a cat", "two dogs"])
    except WeightsError:
        ids = torch.randint(1, 50, (2, 8))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


MODEL = (spec, summary, builds)
