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

    A head that another training has fitted, or `train.start` has, stays as it is.

    Raises:
        SpecError: the features that a head is fitted to are not there once for all.
    """
    for side in ("text", "image"):
        tower: Any = getattr(model, f"{side}_encoder")
        head = tower.head
        if not hasattr(head, "fit") or bool(head.fitted):
            continue
        if isinstance(feed, StreamFeed):
            raise _not_fitted(model, side, "a stream keeps no features; train from a list of pairs")
        images, texts, pictures, captions = feed.first_rows()
        if texts is None:
            raise _not_fitted(model, side, 'the text encoder trains; set text.train = "frozen" or "head"')
        if side == "image" and images is None:
            raise _not_fitted(model, side, 'the image encoder trains; set image.train = "head"')
        some = next(model.parameters())
        features = texts[captions].to(some.device, some.dtype)
        if side == "text":
            head.fit(features)
            continue
        assert images is not None
        text_tower: Any = model.text_encoder
        with torch.no_grad(), evaluating(text_tower):
            targets = text_tower.project(features)
        head.fit(images[pictures].to(some.device, some.dtype), targets)


def _not_fitted(model: CLIP, side: str, why: str) -> SpecError:
    assert model.spec is not None
    name = getattr(model.spec, side).head.name
    return SpecError(
        f"{side}.head: {name!r} is fitted to the features of frozen encoders before the first step, and "
        f"{why}, or choose another head"
    )
