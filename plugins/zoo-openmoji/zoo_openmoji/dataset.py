"""The datasets `openmoji` and `openmoji-styles`."""

from __future__ import annotations

from zoo.data.pairs import ImageTextDataset, Pair
from zoo_openmoji.emojis import Emoji, Split, emojis, split_of
from zoo_openmoji.render import STYLES, for_styles, rendered_folder
from zoo_openmoji.words import words

__all__ = ["ATTRIBUTION", "LICENCE", "create", "create_styles"]

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


def create_styles() -> ImageTextDataset:
    """`openmoji` for training that is to hold in other drawing styles.

    Validation and test are those of `openmoji`. Each concept that trains is there in several styles,
    without its skin tones; more concepts are those that OpenMoji drew beyond Unicode's emojis; and
    captions say OpenMoji's own words too.

    Raises:
        DataError: the pictures are not installed, or cannot be rendered.
    """
    plain = create()
    folder = rendered_folder("styles")
    train = [
        Pair(folder / f"{each.svg.stem}-{style}.png", _described(each), each.concept)
        for each in for_styles()
        for style in STYLES
    ]
    return ImageTextDataset(
        "openmoji-styles",
        {**plain.splits, "train": train},
        LICENCE,
        ATTRIBUTION,
        HOMEPAGE,
        ("validation and test are those of openmoji",),
    )


def _described(emoji: Emoji) -> tuple[str, ...]:
    """The names of an emoji, OpenMoji's own name of it, and its words, alone and after the name."""
    said = words().get(emoji.svg.stem)
    if said is None:
        return emoji.names
    captions = [*emoji.names, said.name]
    if said.tags:
        tags = ", ".join(said.tags)
        captions += [tags, f"{emoji.names[0]}: {tags}"]
    return tuple(dict.fromkeys(captions))
