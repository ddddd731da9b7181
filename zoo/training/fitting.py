"""Heads that are solved from the training data, before the first step."""

from __future__ import annotations

from typing import Any

import torch

from zoo.clip import CLIP, evaluating
from zoo.errors import SpecError
from zoo.training.feed import Feed
from zoo.training.stream_feed import StreamFeed

__all__ = ["fit_heads"]


def fit_heads(model: CLIP, feed: Feed | StreamFeed) -> None:
    """Call `fit` of each head that has it and was not fitted: the text head's, then the image head's.

    A head that another training has fitted, or that `train.start` gave, stays as it is.

    Raises:
        SpecError: the features that a head is fitted to are not there once for all; no head is fitted.
    """
    towers: dict[str, Any] = {"text": model.text_encoder, "image": model.image_encoder}
    sides = [side for side, tower in towers.items() if _wants(tower.head)]
    if not sides:
        return
    if isinstance(feed, StreamFeed):
        raise _refused(model, sides[0], "a stream keeps no features; train from a list of pairs")
    images, texts, pictures, captions = feed.first_rows()
    if texts is None:
        why = 'the text encoder trains; set text.train = "frozen" or "head"'
        raise _refused(model, sides[0], why)
    if "image" in sides and images is None:
        raise _refused(model, "image", 'the image encoder trains; set image.train = "head"')
    some = next(model.parameters())
    said = texts[captions].to(some.device, some.dtype)
    if "text" in sides:
        towers["text"].head.fit(said)
    if "image" in sides:
        assert images is not None
        with torch.no_grad(), evaluating(towers["text"]):
            targets = towers["text"].project(said)
        towers["image"].head.fit(images[pictures].to(some.device, some.dtype), targets)


def _wants(head: Any) -> bool:
    return hasattr(head, "fit") and not bool(head.fitted)


def _refused(model: CLIP, side: str, why: str) -> SpecError:
    assert model.spec is not None
    name = getattr(model.spec, side).head.name
    return SpecError(
        f"{side}.head: {name!r} is fitted to the features of frozen encoders before the first step, and "
        f"{why}, or choose another head"
    )
