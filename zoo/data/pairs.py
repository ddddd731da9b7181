"""Image-text datasets: named splits of pictures with their captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zoo.data.held import Held
from zoo.errors import DataError, PluginError, suggestion
from zoo.registry import catalog
from zoo.registry.resolve import resolve

__all__ = ["ImageTextDataset", "Pair", "load_dataset", "one_per_concept"]


@dataclass(frozen=True)
class Pair:
    """A picture, its captions (the first is its name), and the concept that it shows.

    The concept is empty only as long as a dataset is being read: where its source says none, it becomes
    the key of the picture's content, which takes all pictures to be known.
    """

    picture: Path | Held
    captions: tuple[str, ...]
    concept: str


@dataclass(frozen=True)
class ImageTextDataset:
    """What a dataset factory of the entry-point group `zoo.datasets` returns.

    Args:
        splits: usually `train`, `validation` and `test`; no concept is in two of them.
        licence: of the pictures, as an SPDX identifier where there is one.
        attribution: whom the licence asks to be named.
        notes: what whoever trains on it should know: where its splits are from, what was left out.
    """

    name: str
    splits: Mapping[str, Sequence[Pair]]
    licence: str
    attribution: str
    homepage: str = field(default="")
    notes: tuple[str, ...] = ()

    def split(self, name: str) -> list[Pair]:
        """The pairs of one split.

        Raises:
            DataError: there is no such split, or it is empty.
        """
        if name not in self.splits:
            raise DataError(
                f"the dataset {self.name!r} has no split {name!r}; it has "
                f"{', '.join(self.splits)}.{suggestion(name, self.splits)}"
            )
        pairs = list(self.splits[name])
        if not pairs:
            raise DataError(f"the split {name!r} of the dataset {self.name!r} is empty")
        for pair in pairs:
            if not pair.captions:
                raise DataError(f"{self.name}: {pair.picture} has no caption")
        return pairs

    def everything(self) -> list[Pair]:
        """The pairs of all splits that have any.

        Raises:
            DataError: all splits are empty.
        """
        pairs = [pair for split in self.splits.values() for pair in split]
        if not pairs:
            raise DataError(f"the dataset {self.name!r} is empty")
        return pairs


def load_dataset(name: str) -> ImageTextDataset:
    """A registered dataset, by name.

    Raises:
        UnknownNameError: no plugin offers it.
        DataError: it has no pairs.
        PluginError: its factory returned something else.
    """
    resolved = resolve(catalog(), "datasets", name)
    dataset = resolved.load()()
    if not isinstance(dataset, ImageTextDataset):
        raise PluginError(
            f"the dataset {name!r} of {resolved.component.origin} gave {dataset!r}; its factory "
            "returns a zoo.data.pairs.ImageTextDataset"
        )
    dataset.everything()
    return dataset


def one_per_concept(pairs: Sequence[Pair]) -> list[Pair]:
    """The first pair of each concept, in order."""
    first: dict[str, Pair] = {}
    for pair in pairs:
        first.setdefault(pair.concept, pair)
    return list(first.values())
