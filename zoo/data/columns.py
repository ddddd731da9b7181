"""Which columns of a table hold the picture, the captions and the split: by convention, or as told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from zoo.errors import DataError, suggestion

__all__ = ["SPLITS", "Columns", "split_name", "texts", "usual_caption"]

_IMAGE: tuple[str, ...] = (
    "image",
    "image_path",
    "image_file",
    "image_name",
    "filepath",
    "file_path",
    "file_name",
)
_IMAGE += ("filename", "file", "path", "picture", "img", "photo", "jpg", "jpeg", "png", "webp")
_CAPTION: tuple[str, ...] = (
    "caption",
    "captions",
    "text",
    "texts",
    "title",
    "alt_text",
    "alt",
    "description",
)
_CAPTION += ("descriptions", "sentences", "sentence", "raw", "txt", "comment")
_SPLIT = ("split",)

SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""What splits are called elsewhere, and here."""


def split_name(said: str) -> str:
    """`val`, `dev` and the like as they are called here; other names as they are, but for spaces."""
    said = said.strip()
    return SPLITS.get(said.lower(), said)


@dataclass(frozen=True)
class Columns:
    """The names of a table's columns; those that are None are found by convention.

    Args:
        image: a path (relative to the table's folder), or the picture's file itself.
        caption: a text, or a list of several.
        split: the split's name; no column need have it.
        concept: what the picture shows; without it, each picture is a concept.
    """

    image: str | None = None
    caption: str | None = None
    split: str | None = None
    concept: str | None = None

    def found(self, there: Sequence[str], source: str) -> Columns:
        """With every column named that is there.

        Raises:
            DataError: one that was asked for is not there, or none has a name by which pictures
                or captions are usually called; lists the columns.
        """
        for name in (self.image, self.caption, self.split, self.concept):
            if name is not None and name not in there:
                raise DataError(
                    f"{source}: there is no column {name!r}; the columns are {', '.join(there)}."
                    f"{suggestion(name, there)}"
                )
        return replace(
            self,
            image=self.image or _by_convention(_IMAGE, there, source, "image", "pictures"),
            caption=self.caption or _by_convention(_CAPTION, there, source, "caption", "captions"),
            split=self.split or next((name for name in there if name.lower() in _SPLIT), None),
        )

    def split_of(self, row: Mapping[str, Any]) -> str:
        """The split that a row says; empty if none."""
        said = row[self.split] if self.split else None
        return "" if said is None else split_name(str(said))


def usual_caption(there: Iterable[str]) -> str | None:
    """The first column that is called as captions usually are."""
    return _first(_CAPTION, there)


def texts(said: object) -> list[str]:
    """The captions in a cell: a text, several, or several tables of one such as `{"raw": …}`."""
    if isinstance(said, str):
        return [said]
    if isinstance(said, (list, tuple)):
        return [text for each in said for text in texts(each)]
    if isinstance(said, dict):
        return texts(said.get(usual_caption(said) or ""))
    return []


def _first(usual: Sequence[str], there: Iterable[str]) -> str | None:
    by_name: dict[str, str] = {}
    for name in there:
        by_name.setdefault(name.lower(), name)
    return next((by_name[name] for name in usual if name in by_name), None)


def _by_convention(
    usual: Sequence[str], there: Sequence[str], source: str, kind: str, what: str
) -> str:
    found = _first(usual, there)
    if found is not None:
        return found
    raise DataError(
        f"{source}: no column is called as {what} usually are ({', '.join(usual[:8])}, …); the columns "
        f"are {', '.join(there)}. Say which: --{kind}-column NAME"
    )
