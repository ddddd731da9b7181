"""What tells one set of pairs from another: its captions, and what its picture files hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zoo.data.hashes import picture_hashes
from zoo.data.pairs import Pair
from zoo.data.stream import Stream
from zoo.data.unreadable import Unread

__all__ = ["fingerprint"]

_ENDS = 1_000_000


def fingerprint(
    pairs: Sequence[Pair] | Stream,
    progress: Callable[[str, int, int], None] | None = None,
    *,
    workers: int = 2,
) -> dict[str, Any]:
    """The number of pairs, and a hash each of captions with their concepts, and of pictures, in order.

    A picture's file is read once, and remembered while it stays as it is; one that cannot be read has
    no content. Of a stream: the number of shards, and a hash over their names, their sizes, and the
    first and last megabyte of each, as reading all would take as long as an epoch, and over the
    splits that they have, which decide what is drawn; and what of them is read, and in what order:
    columns, split, block and seed.
    """
    if isinstance(pairs, Stream):
        digest = hashlib.sha256()
        for shard in pairs.shards:
            digest.update(_of_file(Path(shard.name)))
        digest.update(" ".join(sorted(pairs.splits - {"train"})).encode())
        columns = dict.fromkeys(json.dumps(asdict(each.columns)) for each in pairs.shards)
        return {
            "shards": len(pairs.shards),
            "content": digest.hexdigest(),
            "columns": [json.loads(each) for each in columns],
            "split": pairs.split,
            "block": pairs.block,
            "seed": pairs.seed,
        }
    distinct = list(dict.fromkeys(pair.picture for pair in pairs))
    unread: dict[int, Unread] = {}
    found = iter(picture_hashes(distinct, progress, workers=workers, unread=unread))
    of = {
        picture: b"" if index in unread else next(found).sha256
        for index, picture in enumerate(distinct)
    }
    captions, pictures = hashlib.sha256(), hashlib.sha256()
    for pair in pairs:
        captions.update(json.dumps([pair.concept, *pair.captions]).encode() + b"\n")
        pictures.update(of[pair.picture] or b"unreadable")
    return {
        "pairs": len(pairs),
        "captions": captions.hexdigest(),
        "pictures": pictures.hexdigest(),
    }


def _of_file(path: Path) -> bytes:
    size = path.stat().st_size
    digest = hashlib.sha256(json.dumps([path.name, size]).encode())
    with path.open("rb") as file:
        digest.update(file.read(_ENDS))
        file.seek(max(size - _ENDS, 0))
        digest.update(file.read(_ENDS))
    return digest.digest()
