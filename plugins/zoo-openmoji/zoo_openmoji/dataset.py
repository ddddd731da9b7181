"""The dataset `openmoji`."""

from __future__ import annotations

from zoo.data.pairs import ImageTextDataset, Pair
from zoo_openmoji.emojis import Split, emojis, split_of
from zoo_openmoji.render import rendered_folder

__all__ = ["ATTRIBUTION", "LICENCE", "create"]

LICENCE = "CC-BY-SA-4.0"
ATTRIBUTION = (
    "All emojis designed by OpenMoji, the open-source emoji and icon project. CC BY-SA 4.0"
)
HOMEPAGE = "https://openmoji.org"


def create() -> ImageTextDataset:
    """OpenMoji's colour pictures at 256 px over white, named by the `emoji` package.

    Pictures are rendered on first use, in some ten seconds, and kept in the cache.

    Raises:
        DataError: the pictures are not installed, or cannot be rendered.
    """
    folder = rendered_folder()
    splits: dict[Split, list[Pair]] = {"train": [], "validation": [], "test": []}
    for each in emojis():
        pair = Pair(folder / f"{each.svg.stem}.png", each.names, each.concept)
        splits[split_of(each.concept)].append(pair)
    return ImageTextDataset("openmoji", splits, LICENCE, ATTRIBUTION, HOMEPAGE)
