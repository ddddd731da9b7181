"""Checks of datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from zoo.data.pairs import ImageTextDataset, Pair
from zoo.data.pictures import open_picture
from zoo.errors import DataError, MissingExtraError, PluginError
from zoo.registry import Kind
from zoo.testing import elsewhere
from zoo.testing.case import CheckFailed, NotApplicable, require

__all__ = ["DATASET", "DatasetSubject"]

SAMPLES = 20
"""How many pictures of each split are opened."""


@dataclass(frozen=True, eq=False)
class DatasetSubject:
    """A dataset by its factory."""

    name: str
    load: Callable[[], Callable[[], Any]]
    """Imports the factory."""
    kind: Kind = "datasets"

    @cached_property
    def made(self) -> ImageTextDataset | CheckFailed | NotApplicable:
        """The dataset, or why there is none."""
        try:
            dataset = self.load()()
        except MissingExtraError as error:
            return NotApplicable(str(error))
        except PluginError as error:
            return CheckFailed(str(error))
        except (Exception, SystemExit) as error:
            return CheckFailed(f"it could not be made: {type(error).__name__}: {error}")
        if not isinstance(dataset, ImageTextDataset):
            return CheckFailed(
                f"the factory gave {dataset!r:.80}, not a zoo.data.pairs.ImageTextDataset"
            )
        return dataset

    @property
    def dataset(self) -> ImageTextDataset:
        if not isinstance(self.made, ImageTextDataset):
            raise NotApplicable("it cannot be made, as the check 'made' says")
        return self.made

    def expected_failures(self) -> Mapping[str, str]:
        return {}


def made(subject: DatasetSubject) -> None:
    """Its factory can be imported and makes a `zoo.data.pairs.ImageTextDataset`."""
    if not isinstance(subject.made, ImageTextDataset):
        raise subject.made


def splits(subject: DatasetSubject) -> None:
    """It has splits, among them `train`, none of them empty, and bears its own name."""
    dataset = subject.dataset
    require(
        "train" in dataset.splits, f"it has no split 'train'; it has {', '.join(dataset.splits)}"
    )
    for name in dataset.splits:
        try:
            pairs = dataset.split(name)
        except DataError as error:
            raise CheckFailed(str(error)) from error
        stray = [each for each in pairs if not isinstance(each, Pair)]
        require(not stray, f"the split {name!r} holds {stray[:1]}, not zoo.data.pairs.Pair")
    require(
        subject.name.rpartition("/")[2] == dataset.name,
        f"it is registered as {subject.name!r}, and calls itself {dataset.name!r}",
    )


def pictures(subject: DatasetSubject) -> None:
    """A sample of pictures from every split can be read."""
    for pairs in subject.dataset.splits.values():
        step = max(len(pairs) // SAMPLES, 1)
        for pair in pairs[::step]:
            try:
                open_picture(pair.picture)
            except DataError as error:
                raise CheckFailed(str(error)) from error


def captions(subject: DatasetSubject) -> None:
    """Every pair has captions, none of them empty."""
    for pair in subject.dataset.everything():
        require(
            isinstance(pair.captions, tuple) and bool(pair.captions),
            f"{pair.picture.name} has no tuple of captions",
        )
        for caption in pair.captions:
            require(
                isinstance(caption, str) and bool(caption.strip()),
                f"{pair.picture.name} has the caption {caption!r}",
            )


def concepts(subject: DatasetSubject) -> None:
    """No concept is in two splits, so that what is tested was never trained on."""
    home: dict[str, str] = {}
    for name, pairs in subject.dataset.splits.items():
        for pair in pairs:
            other = home.setdefault(pair.concept, name)
            require(other == name, f"the concept {pair.concept!r} is in {other!r} and in {name!r}")


def fixed_split(subject: DatasetSubject) -> None:
    """Made again, here and in another process, it has the same pairs in the same splits."""
    first = elsewhere.digest_of(subject.dataset)
    factory = subject.load()
    for where, again in (
        ("made again", elsewhere.digest_of_splits(factory)),
        ("in another process", elsewhere.call(elsewhere.digest_of_splits, factory)),
    ):
        require(first == again, f"{where}, its pairs or their splits are others")


def licence(subject: DatasetSubject) -> None:
    """Its licence and whom to name are stated."""
    for field in ("licence", "attribution"):
        said = getattr(subject.dataset, field)
        require(isinstance(said, str) and bool(said.strip()), f"its {field} is {said!r}")


DATASET = (made, splits, pictures, captions, concepts, fixed_split, licence)
