"""What tells one set of pairs from another: its captions, and what its picture files hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence

from zoo.data.hashes import picture_hashes
from zoo.data.pairs import Pair

__all__ = ["fingerprint"]


def fingerprint(
    pairs: Sequence[Pair],
    progress: Callable[[str, int, int], None] | None = None,
    *,
    workers: int = 2,
) -> dict[str, int | str]:
    """The number of pairs, and a hash each of captions with their concepts, and of pictures, in order.

    A picture's file is read once, and remembered while it stays as it is.

    Raises:
        DataError: a file cannot be read; the message names it.
    """
    distinct = list(dict.fromkeys(pair.picture for pair in pairs))
    found = picture_hashes(distinct, progress, workers=workers)
    of = dict(zip(distinct, (each.sha256 for each in found), strict=True))
    captions, pictures = hashlib.sha256(), hashlib.sha256()
    for pair in pairs:
        captions.update(json.dumps([pair.concept, *pair.captions]).encode() + b"\n")
        pictures.update(of[pair.picture])
    return {
        "pairs": len(pairs),
        "captions": captions.hexdigest(),
        "pictures": pictures.hexdigest(),
    }
