"""What tells one set of pairs from another: its captions, and what its picture files hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence

from zoo.data.hashes import picture_hashes
from zoo.data.pairs import Pair
from zoo.data.unreadable import Unread

__all__ = ["fingerprint"]


def fingerprint(
    pairs: Sequence[Pair],
    progress: Callable[[str, int, int], None] | None = None,
    *,
    workers: int = 2,
) -> dict[str, int | str]:
    """The number of pairs, and a hash each of captions with their concepts, and of pictures, in order.

    A picture's file is read once, and remembered while it stays as it is. One that cannot be read is
    the same as any other such one.
    """
    distinct = list(dict.fromkeys(pair.picture for pair in pairs))
    unread: dict[int, Unread] = {}
    found = iter(picture_hashes(distinct, progress, workers=workers, unread=unread))
    of = {
        picture: b"unreadable" if index in unread else next(found).sha256
        for index, picture in enumerate(distinct)
    }
    captions, pictures = hashlib.sha256(), hashlib.sha256()
    for pair in pairs:
        captions.update(json.dumps([pair.concept, *pair.captions]).encode() + b"\n")
        pictures.update(of[pair.picture])
    return {
        "pairs": len(pairs),
        "captions": captions.hexdigest(),
        "pictures": pictures.hexdigest(),
    }
