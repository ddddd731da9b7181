"""Heads that are solved from the training data, before the first step."""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch

from zoo.clip import CLIP, evaluating
from zoo.errors import SpecError
from zoo.training.feed import Feed
from zoo.training.stream_feed import StreamFeed

__all__ = ["check_fitting", "fit_heads"]


def check_fitting(model: CLIP, *, streamed: bool) -> None:
    """Refuse heads that are to be fitted where the features for it will not be there, or will not stay.

    Raises:
        SpecError: an encoder trains, or the pairs are a stream, or an image head would be solved towards
            a text head that trains.
    """
    towers = _towers(model)
    for side in _to_fit(model):
        why = None
        if streamed:
            why = "a stream keeps no features; train from a list of pairs"
        elif "encoder" not in towers["text"].frozen_parts:
            why = 'the text encoder trains; set text.train = "frozen" or "head"'
        elif "encoder" not in towers[side].frozen_parts:
            why = f'the {side} encoder trains; set {side}.train = "head"'
        elif side == "text" and _takes_targets(towers["text"].head):
            why = "it is solved towards the embeddings of captions; make it the image head"
        elif _takes_targets(towers[side].head) and _trains(towers["text"].head):
            why = 'the text head, which it is solved towards, trains; set text.train = "frozen"'
        if why:
            assert model.spec is not None
            name = getattr(model.spec, side).head.name
            raise SpecError(
                f"{side}.head: {name!r} is fitted to the features of frozen encoders before the first "
                f"step, and {why}, or choose another head"
            )


def fit_heads(model: CLIP, feed: Feed | StreamFeed) -> None:
    """Call `fit` of each head that has it and was not fitted: the text head's, then the image head's.

    A head that another training has fitted, or that `train.start` gave, stays as it is. A head of a
    tower that is frozen is fitted too.
    """
    sides = _to_fit(model)
    if not sides:
        return
    assert isinstance(feed, Feed)
    images, texts, pictures, captions = feed.first_rows()
    assert texts is not None
    some, towers = next(model.parameters()), _towers(model)
    said = texts[captions].to(some.device, some.dtype)
    for side in sides:
        head = towers[side].head
        features = said
        if side == "image":
            assert images is not None
            features = images[pictures].to(some.device, some.dtype)
        if not _takes_targets(head):
            head.fit(features)
            continue
        with torch.no_grad(), evaluating(towers["text"]):
            targets = towers["text"].project(said)
        head.fit(features, targets)


def _towers(model: CLIP) -> dict[str, Any]:
    """The towers as they were before one was cut, the text side first."""
    towers = {"text": model.text_encoder, "image": model.image_encoder}
    return {side: getattr(tower, "whole", tower) for side, tower in towers.items()}


def _to_fit(model: CLIP) -> list[str]:
    heads = {side: tower.head for side, tower in _towers(model).items()}
    return [side for side, head in heads.items() if hasattr(head, "fit") and not bool(head.fitted)]


def _trains(head: Any) -> bool:
    return any(parameter.requires_grad for parameter in head.parameters())


def _takes_targets(head: Any) -> bool:
    return "targets" in signature(head.fit).parameters
