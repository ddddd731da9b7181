"""Heads that are solved from the training data, before the first step."""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch

from zoo.clip import CLIP, evaluating
from zoo.errors import SpecError
from zoo.parameters import any_tensor
from zoo.training.feed import Feed
from zoo.training.stream_feed import StreamFeed

__all__ = ["check_fitting", "fit_heads", "has_solved_heads"]


def check_fitting(model: CLIP, *, streamed: bool) -> None:
    """Refuse heads that are to be fitted where the features for it will not be there, or will not stay.

    Raises:
        SpecError: an encoder trains, or the pairs are a stream, or an image head would be solved towards
            a text head that trains, or one of two heads that predict each other is of another kind, or
            their ranks do not make up the embedding.
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
        elif _predicts_the_other(towers[side].head):
            why = _why_not_both(model, towers)
        elif side == "text" and _takes("targets", towers["text"].head):
            why = "it is solved towards the embeddings of captions; make it the image head"
        elif _takes("targets", towers[side].head) and _trains(towers["text"].head):
            why = 'the text head, which it is solved towards, trains; set text.train = "frozen"'
        if why:
            assert model.spec is not None
            name = getattr(model.spec, side).head.name
            raise SpecError(
                f"{side}.head: {name!r} is fitted to the features of frozen encoders before the first "
                f"step, and {why}, or choose another head"
            )


def has_solved_heads(model: CLIP) -> bool:
    """Whether a head is one that is solved, before the first step or in another training."""
    return any(hasattr(tower.head, "fit") for tower in _towers(model).values())


def fit_heads(model: CLIP, feed: Feed | StreamFeed) -> None:
    """Call `fit` of each head that has it and was not fitted: the text head's, then the image head's.

    A head that another training has fitted, or that `train.start` gave, stays as it is. A head of a
    tower that is frozen is fitted too. Heads that predict each other are settled first, both.
    """
    sides = _to_fit(model)
    if not sides:
        return
    assert isinstance(feed, Feed)
    images, texts, pictures, captions = feed.first_rows()
    some, towers = any_tensor(model), _towers(model)
    heads = {side: tower.head for side, tower in towers.items()}
    assert texts is not None
    features = {"text": texts[captions].to(some.device, some.dtype)}
    if images is not None:
        features["image"] = images[pictures].to(some.device, some.dtype)
    for side in sides:
        if _predicts_the_other(heads[side]):
            heads[side].settle(features[side])
    for side in sides:
        head = heads[side]
        if _predicts_the_other(head):
            other = "image" if side == "text" else "text"
            head.fit(features[side], heads[other].place(features[other]), side)
        elif _takes("targets", head):
            with torch.no_grad(), evaluating(towers["text"]):
                targets = towers["text"].project(features["text"])
            head.fit(features[side], targets)
        else:
            head.fit(features[side])


def _towers(model: CLIP) -> dict[str, Any]:
    """The towers as they were before one was cut, the text side first."""
    towers = {"text": model.text_encoder, "image": model.image_encoder}
    return {side: getattr(tower, "whole", tower) for side, tower in towers.items()}


def _to_fit(model: CLIP) -> list[str]:
    heads = {side: tower.head for side, tower in _towers(model).items()}
    return [side for side, head in heads.items() if hasattr(head, "fit") and not bool(head.fitted)]


def _trains(head: Any) -> bool:
    return any(parameter.requires_grad for parameter in head.parameters())


def _takes(name: str, head: Any) -> bool:
    return name in signature(head.fit).parameters


def _predicts_the_other(head: Any) -> bool:
    return hasattr(head, "fit") and _takes("places", head)


def _why_not_both(model: CLIP, towers: dict[str, Any]) -> str | None:
    """Why two heads cannot predict each other's places."""
    heads = {side: tower.head for side, tower in towers.items()}
    for side, head in heads.items():
        if not _predicts_the_other(head):
            return (
                f"it goes with a text and an image head of its kind; choose another {side}.head too"
            )
        if side not in _to_fit(model):
            return f"the {side} head is fitted already; start from both, or from neither"
    some = any_tensor(model)
    with torch.no_grad():
        ranks = [
            towers[side].head.place(some.new_zeros(1, towers[side].encoder.out_dim)).shape[1]
            for side in ("text", "image")
        ]
    assert model.spec is not None
    if sum(ranks) != model.spec.embedding_dim:
        said = f"{ranks[0]} (text) and {ranks[1]} (image) make {sum(ranks)}"
        return f"ranks of {said}; say so as embedding_dim"
    return None
