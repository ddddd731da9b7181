"""Cells: the variations of a grid with its seeds, resolved and checked before the first one runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from zoo.assembly import Plan, plan_of
from zoo.comparison.grid import Grid, Variation, variations
from zoo.comparison.identity import identity_of
from zoo.data.fingerprint import fingerprint
from zoo.data.pairs import ImageTextDataset
from zoo.errors import SpecError, ZooError
from zoo.registry import Catalog, catalog
from zoo.spec import ModelSpec
from zoo.spec_layers import Layered, layers_of
from zoo.training.features import Progress
from zoo.training.optimizer import check_optimizer

__all__ = ["Cell", "data_key", "resolve_cells"]

_FORMAT = 2
"""Another one where what older cells measured is no longer right."""
_LIBRARIES = ("clip-zoo", "torch", "torchvision", "timm", "transformers", "pillow")
_WITHOUT_EFFECT: Any = {
    "name": True,
    "summary": True,
    "train": {"workers", "log_every", "checkpoint"},
}
"""What a spec says that no result depends on."""
_SHOWN = 5


@dataclass(frozen=True)
class Cell:
    """One training: a variation with a seed."""

    variation: Variation
    seed: int
    plan: Plan
    spec: ModelSpec
    """With every argument, and everything that the recipe left open."""
    identity: Mapping[str, Any]
    """What decides the result beside it."""

    @property
    def name(self) -> str:
        return f"{self.variation.name}, seed {self.seed}"

    def key(self, data: str, computed: Mapping[str, Any]) -> str:
        """A hash of all that decides the result; cells with the same key are the same training.

        Args:
            data: that of the dataset, by `data_key`.
            computed: device and precision.
        """
        said = {
            "format": _FORMAT,
            "spec": self.spec.model_dump(mode="json", exclude=_WITHOUT_EFFECT),
            **self.identity,
            "data": data,
            "computed": dict(computed),
            "libraries": {name: version(name) for name in _LIBRARIES},
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def resolve_cells(grid: Grid, source: str = "the grid", names: Catalog | None = None) -> list[Cell]:
    """Every cell, in the order of the grid, all seeds of a variation together. Nothing is built.

    Raises:
        SpecError: some cells are not valid; the message names each with what is wrong.
    """
    names = names or catalog()
    common = layers_of(grid.base, names)
    if grid.train:
        common = common.over({"train": grid.train}, f"{source}, [train]")
    if grid.set:
        common = common.changed(grid.set, f"{source}, set")
    cells: list[Cell] = []
    faults: list[str] = []
    varied = variations(grid, source)
    for variation in varied:
        try:
            cells += _cells(common, variation, grid.seeds, names)
        except ZooError as error:
            faults.append(f"{variation.name}: {error}")
    if faults:
        more = f"\nand {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise SpecError(
            f"{source}: {len(faults)} of {len(varied)} variations are not valid, and nothing was "
            "started:\n" + "\n".join(faults[:_SHOWN]) + more
        )
    rankers = sorted({cell.spec.train.evaluation.split for cell in cells})
    if len(rankers) > 1:
        raise SpecError(
            f"{source}: train.evaluation.split ranks the models, and is one for all of them, not "
            + " and ".join(map(repr, rankers))
        )
    return cells


def data_key(
    dataset: ImageTextDataset, splits: Sequence[str], progress: Progress | None = None
) -> str:
    """A hash of what the splits hold: pictures, captions and concepts, in order."""
    said = {split: fingerprint(dataset.split(split), progress) for split in splits}
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _cells(
    common: Layered, variation: Variation, seeds: Sequence[int], names: Catalog
) -> list[Cell]:
    where = f"variation {variation.name!r}"
    if any(path == "train.seed" for path in variation.changes):
        raise SpecError("train.seed: seeds are not varied like this; list them in seeds")
    layered = common.changed(variation.changes, where) if variation.changes else common
    found = []
    for seed in seeds:
        plan = plan_of(layered.changed({"train.seed": seed}, "seeds"), names).fresh()
        spec = plan.check()
        recipe = spec.train.filled(heads_only=spec.heads_only)
        if recipe.stream:
            raise SpecError("train.stream: a comparison holds its data in memory; leave it out")
        if recipe.evaluation.split in recipe.splits:
            raise SpecError(
                f"train.splits: {recipe.evaluation.split!r} ranks the models, and may not train them"
            )
        if recipe.checkpoint.save == "best":
            raise SpecError(
                'train.checkpoint.save: a cell gives the model it ends with; set it to "last"'
            )
        check_optimizer(recipe)
        recipe = recipe.model_copy(update={"trackers": []})  # a cell has no folder of its own
        spec = spec.model_copy(update={"train": recipe})
        found.append(Cell(variation, seed, plan, spec, identity_of(plan, spec, names)))
    return found
