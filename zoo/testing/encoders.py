"""Checks of image encoders and text encoders."""

from __future__ import annotations

import sys
from itertools import cycle, islice
from types import SimpleNamespace
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor, nn

from zoo.clip import CLIPImageEncoder, CLIPTextEncoder
from zoo.contracts import in_dim_for
from zoo.encoders.preprocess import Preprocess
from zoo.errors import SpecError
from zoo.testing.case import CheckFailed, NotApplicable, require
from zoo.testing.network import network_watched
from zoo.testing.subject import ComponentSubject, difference, quietly, same, scalar_of
from zoo.testing.tower_parts import EVERY_TOWER_PART

__all__ = ["IMAGE_ENCODER", "TEXT_ENCODER"]

WORDS = ("a", "very", "long", "story", "about", "a", "cat")
LONGEST_RUN = 1024
"""Tokens of the longest text that is run; attention over more takes gigabytes."""
UNKNOWN_TAG = "no-such-weights"
PICTURE_SIZES = ((640, 480), (90, 400), (7, 7))
"""(width, height) in pixels of pictures that preprocessing is tried with."""


def out_dim(subject: ComponentSubject) -> None:
    """`out_dim` is the number of features that it gives."""
    encoder = subject.module
    names = ("out_dim", "context_length") if subject.kind == "text_encoders" else ("out_dim",)
    for name in names:
        value = getattr(encoder, name)
        require(isinstance(value, int) and value > 0, f"{name} is {value!r}, not a whole number")
    said = quietly(encoder, subject.inputs())
    require(
        tuple(said.shape) == (3, encoder.out_dim),
        f"out_dim is {encoder.out_dim}, and 3 inputs give an output of shape {tuple(said.shape)}",
    )


def weights(subject: ComponentSubject) -> None:
    """Its weights tags are words, and weights that it does not have are refused."""
    title = type(subject.module).__name__
    tags = getattr(sys.modules.get(subject.factory.__module__), "weights_tags", None)
    if tags is not None:  # zoo.build refuses others
        found = tags() if subject.rest is None else tags(subject.rest)
        require(
            isinstance(found, (list, tuple))
            and all(isinstance(each, str) and each.strip() for each in found),
            f"weights_tags() gives {found!r:.200}, not a list of words",
        )
        return
    try:
        with network_watched():
            subject.make(weights=UNKNOWN_TAG)
    except Exception:  # of whatever kind: it is not swallowed
        return
    raise CheckFailed(
        f"{title} took weights={UNKNOWN_TAG!r} and said nothing; refuse unknown ones by "
        "zoo.weights.source.check_tag, or list the tags in weights_tags() beside the factory"
    )


def no_network(subject: ComponentSubject) -> None:
    """With `weights=None` it is made and run without any connection.

    A tokenizer may fetch its files when they are first needed, once.
    """
    subject.inputs()
    with network_watched() as attempts:
        try:
            encoder = subject.make().eval()
            quietly(encoder, subject.inputs(module=encoder))
        except Exception:
            if not attempts:
                raise
    require(not attempts, f"it connects to {', '.join(attempts[:3])}")


def frozen(subject: ComponentSubject) -> None:
    """In a frozen tower it gets no gradient, leaves no graph, and stays in eval mode and as it was."""
    encoder = subject.copy()
    tower_class = CLIPImageEncoder if subject.kind == "image_encoders" else CLIPTextEncoder
    tower: Any = tower_class(encoder, nn.Linear(encoder.out_dim, 8), "head")
    tower.train()
    before = {name: each.clone() for name, each in encoder.state_dict().items()}
    features = tower.features(*subject.inputs())
    require(not features.requires_grad, "frozen, it still builds a graph for gradients")
    torch.autograd.backward(scalar_of(tower(*subject.inputs())))
    for name, parameter in encoder.named_parameters():
        require(parameter.grad is None, f"frozen, {name!r} gets a gradient")
    live = [name for name, each in encoder.named_modules() if each.training]
    require(not live, f"frozen, {(live or [''])[0] or 'it'} is in train mode after train()")
    for name, tensor in encoder.state_dict().items():
        require(same(tensor, before[name]), f"frozen, {name!r} changes")


def preprocess(subject: ComponentSubject) -> None:
    """`preprocess` turns any RGB picture into what `forward` takes."""
    encoder = subject.module
    require(
        isinstance(encoder.preprocess, Preprocess),
        f"preprocess is data, a zoo.Preprocess, not {type(encoder.preprocess).__name__}",
    )
    tensors = [encoder.preprocess(Image.new("RGB", size, "teal")) for size in PICTURE_SIZES]
    for size, tensor in zip(PICTURE_SIZES, tensors, strict=True):
        require(
            tensor.dtype == torch.float32 and tensor.shape == (3, *encoder.preprocess.crop),
            f"a picture of {size} becomes {tensor.dtype} of shape {tuple(tensor.shape)}",
        )
    said = quietly(encoder, (torch.stack(tensors),))
    require(len(said) == len(tensors), f"on them it gives an output of shape {tuple(said.shape)}")


def sizes(subject: ComponentSubject) -> None:
    """Where it says `any_size`, pictures of other sizes than its own work."""
    encoder = subject.module
    if not getattr(encoder, "any_size", False):
        raise NotApplicable("it does not say any_size")
    height, width = encoder.preprocess.crop
    for size in ((height * 2, width), (height, width * 2)):
        said = quietly(encoder, (torch.rand(1, 3, *size),))
        require(
            tuple(said.shape) == (1, encoder.out_dim),
            f"{size} pixels give an output of shape {tuple(said.shape)}",
        )


def tokens(subject: ComponentSubject) -> None:
    """Where it has `forward_tokens`, that gives a vector for each place, of each picture on its own.

    Heads get as many channels as they were made for, of the module's dtype, with gradients.
    """
    encoder = subject.module
    if not hasattr(encoder, "forward_tokens"):
        raise NotApplicable("it has no forward_tokens")
    images = subject.inputs(2)[0].requires_grad_()
    try:
        said = encoder.forward_tokens(images)
    except SpecError as error:
        raise NotApplicable(str(error)) from error
    require(
        said.ndim == 3 and len(said) == 2 and bool(said.isfinite().all()),
        f"for 2 pictures it gives {tuple(said.shape)}, not finite (2, places, channels)",
    )
    expected = in_dim_for(SimpleNamespace(takes_tokens=True), encoder, "a head")
    require(
        said.shape[-1] == expected,
        f"heads are made for {expected} channels, and for 2 pictures it gives {said.shape[-1]}",
    )
    (gradient,) = torch.autograd.grad(scalar_of(said), images, allow_unused=True)
    require(gradient is not None and bool(gradient.any()), "no gradient reaches the pictures")
    with torch.no_grad():
        alone = encoder.forward_tokens(images[1:])
        half = subject.copy().to(torch.bfloat16).forward_tokens(images[1:].bfloat16())
    gap = difference(said[1:], alone)
    require(gap < 1e-4, f"a picture's vectors alone differ by {gap:.1e} from those in a batch")
    require(half.dtype == torch.bfloat16, f"moved to bfloat16, it gives {half.dtype}")


def tokenizer(subject: ComponentSubject) -> None:
    """The tokenizer gives int64 ids and a mask of 0 and 1, no longer than `context_length`."""
    encoder = subject.module
    for texts in (["a cat"], ["a cat", _long_text(encoder)], [""], ["🐶 ünïcode", "a"]):
        ids, mask = _tokens(encoder, texts)
        require(
            ids.shape == mask.shape and ids.ndim == 2 and len(ids) == len(texts),
            f"{len(texts)} texts give ids of shape {tuple(ids.shape)}, mask {tuple(mask.shape)}",
        )
        require(
            ids.dtype == mask.dtype == torch.int64, f"ids are {ids.dtype}, the mask is {mask.dtype}"
        )
        require(bool(((mask == 0) | (mask == 1)).all()), "the mask has other numbers than 0 and 1")
        require(
            ids.shape[1] <= encoder.context_length,
            f"{ids.shape[1]} tokens, and context_length is {encoder.context_length}",
        )


def truncation(subject: ComponentSubject) -> None:
    """A long text is cut to `context_length`, with the end token kept where texts have one."""
    encoder = subject.module
    ends = {_last_token(encoder, text) for text in ("a cat", "two dogs", "pizza!")}
    ids, mask = _tokens(encoder, [_long_text(encoder)])
    require(
        ids.shape[1] == encoder.context_length and bool(mask[0].any()),
        f"a long text gives {ids.shape[1]} tokens, and context_length is {encoder.context_length}",
    )
    last = _last_token(encoder, _long_text(encoder))
    require(
        len(ends) > 1 or last in ends,
        f"short texts end with token {next(iter(ends))}, and a long one, cut, with {last}",
    )
    if ids.shape[1] > LONGEST_RUN:
        return
    said = quietly(encoder, (ids, mask))
    require(bool(said.isfinite().all()), "a text of full length gives numbers that are not finite")


def padding(subject: ComponentSubject) -> None:
    """Neither the length of the padding nor what ids stand in it changes a text's embedding."""
    encoder = subject.module
    alone = quietly(encoder, _tokens(encoder, ["a cat"]))
    ids, mask = _tokens(
        encoder, ["a cat", "a cat and two dogs and a pizza, all of them on a table"]
    )
    padded = quietly(encoder, (ids, mask))[:1]
    gap = difference(alone, padded)
    require(gap < 1e-4, f"padded to the length of another text, it differs by {gap:.1e}")
    for token in (0, int(ids[0, 0])):
        other = quietly(encoder, (ids.masked_fill(mask == 0, token), mask))[:1]
        gap = difference(alone, other)
        require(gap < 1e-4, f"with id {token} under mask 0, it differs by {gap:.1e}")


_SPECIAL = (out_dim, weights, no_network, frozen)
IMAGE_ENCODER = (*EVERY_TOWER_PART, *_SPECIAL, preprocess, sizes, tokens)
TEXT_ENCODER = (*EVERY_TOWER_PART, *_SPECIAL, tokenizer, truncation, padding)


def _tokens(encoder: Any, texts: list[str]) -> tuple[Tensor, Tensor]:
    said = encoder.tokenizer(texts)
    require(
        set(said) == {"input_ids", "attention_mask"},
        f"the tokenizer gives {', '.join(map(str, said))}, not input_ids and attention_mask",
    )
    return said["input_ids"], said["attention_mask"]


def _last_token(encoder: Any, text: str) -> int:
    """The last id that the mask lets through and that is not repeated as padding."""
    ids, mask = _tokens(encoder, [text])
    row = ids[0][mask[0].bool()].tolist()
    while len(row) > 1 and row[-1] == row[-2]:
        row.pop()
    return cast(int, row[-1])


def _long_text(encoder: Any) -> str:
    """As many words as tokens fit, and so more tokens, with those that begin and end a text."""
    return " ".join(islice(cycle(WORDS), encoder.context_length + 1))
