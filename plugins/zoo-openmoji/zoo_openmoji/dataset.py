"""The datasets `openmoji`, and those that have its validation and test and train on more."""

from __future__ import annotations

from zoo.data.pairs import ImageTextDataset, Pair
from zoo_openmoji.emojis import Emoji, Split, emojis, split_of
from zoo_openmoji.icons import icons
from zoo_openmoji.render import ICON_STYLES, STYLES, Style, for_styles, rendered_folder
from zoo_openmoji.words import words

__all__ = [
    "ATTRIBUTION",
    "LICENCE",
    "create",
    "create_icons",
    "create_icons_styles",
    "create_styles",
]

LICENCE = "CC-BY-SA-4.0"
ATTRIBUTION = (
    "All emojis designed by OpenMoji, the open-source emoji and icon project. CC BY-SA 4.0"
)
HOMEPAGE = "https://openmoji.org"
_HELD_OUT = "validation and test are those of openmoji"


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
        (_HELD_OUT,),
    )


def create_icons() -> ImageTextDataset:
    """`openmoji` with as many concepts as can be had: OpenMoji's additions, and the icons of
    mkdocs-material in black on white.

    Validation and test are those of `openmoji`. Each concept that trains is there without its skin
    tones, emojis first.

    Raises:
        DataError: the pictures are not installed, or cannot be rendered.
        MissingExtraError: the icons are not installed.
    """
    return _with_icons("openmoji-icons", STYLES[:1], ICON_STYLES[:1])


def create_icons_styles() -> ImageTextDataset:
    """`openmoji-icons` with each emoji and each icon in several styles, for training an image tower.

    Raises:
        DataError: the pictures are not installed, or cannot be rendered.
        MissingExtraError: the icons are not installed.
    """
    return _with_icons("openmoji-icons-styles", STYLES, ICON_STYLES)


def _with_icons(
    name: str, styles: tuple[Style, ...], icon_styles: tuple[Style, ...]
) -> ImageTextDataset:
    emoji_folder, icon_folder = rendered_folder("styles"), rendered_folder("icons")
    train = [
        Pair(emoji_folder / f"{each.svg.stem}-{style}.png", each.names, each.concept)
        for each in for_styles()
        for style in styles
    ]
    train += [
        Pair(icon_folder / f"{each.stem}-{style}.png", (each.name,), f"icon {each.name}")
        for each in icons()
        for style in icon_styles
    ]
    return ImageTextDataset(
        name,
        {**create().splits, "train": train},
        f"{LICENCE} AND CC-BY-4.0 AND Apache-2.0",
        f"{ATTRIBUTION}. Icons: Font Awesome Free by Fonticons, CC BY 4.0; Material Design Icons by "
        "Pictogrammers and Google, Apache 2.0",
        HOMEPAGE,
        (_HELD_OUT,),
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
