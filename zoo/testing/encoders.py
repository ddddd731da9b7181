"""Checks of image encoders and text encoders."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor, nn

from zoo.clip import CLIPImageEncoder, CLIPTextEncoder
from zoo.contracts import check_encoder
from zoo.encoders.preprocess import Preprocess
from zoo.errors import PluginError
from zoo.testing.case import CheckFailed, NotApplicable, require
from zoo.testing.modules import EVERY_TOWER_PART
from zoo.testing.subject import ComponentSubject, difference, quietly, scalar_of

__all__ = ["IMAGE_ENCODER", "TEXT_ENCODER"]

LONG_TEXT = "a very long story about a cat " * 500
PICTURE_SIZES = ((640, 480), (90, 400), (7, 7))
"""(width, height) in pixels of pictures that preprocessing is tried with."""


def out_dim(subject: ComponentSubject) -> None:
    """It has the attributes of the contract, and `out_dim` is the real one."""
    encoder = subject.module
    side: Any = subject.kind.partition("_")[0]
    try:
        check_encoder(side, encoder, "the factory")
    except PluginError as error:
        raise CheckFailed(str(error)) from error
    for name in ("out_dim", "context_length") if side == "text" else ("out_dim",):
        value = getattr(encoder, name)
        require(isinstance(value, int) and value > 0, f"{name} is {value!r}, not a whole number")
    said = quietly(encoder, subject.inputs())
    require(
        tuple(said.shape) == (3, encoder.out_dim),
        f"out_dim is {encoder.out_dim}, and 3 inputs give an output of shape {tuple(said.shape)}",
    )


def no_network(subject: ComponentSubject) -> None:
    """With `weights=None` it is made without any connection."""
    with _network_watched() as attempts:
        subject.make()
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
        require(torch.equal(tensor, before[name]), f"frozen, {name!r} changes")


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
    for size in ((height + 32, width), (height, width * 2)):
        said = quietly(encoder, (torch.rand(1, 3, *size),))
        require(
            tuple(said.shape) == (1, encoder.out_dim),
            f"{size} pixels give an output of shape {tuple(said.shape)}",
        )


def tokens(subject: ComponentSubject) -> None:
    """Where it has `forward_tokens`, that gives a vector for each place, of each picture on its own."""
    encoder = subject.module
    if not hasattr(encoder, "forward_tokens"):
        raise NotApplicable("it has no forward_tokens")
    images = subject.inputs(2)[0]
    with torch.no_grad():
        said = encoder.forward_tokens(images)
        alone = encoder.forward_tokens(images[1:])
    require(
        said.ndim == 3 and len(said) == 2 and bool(said.isfinite().all()),
        f"for 2 pictures it gives {tuple(said.shape)}, not finite (2, places, channels)",
    )
    gap = difference(said[1:], alone)
    require(gap < 1e-3, f"a picture's vectors alone differ by {gap:.1e} from those in a batch")


def tokenizer(subject: ComponentSubject) -> None:
    """The tokenizer gives int64 ids and a mask of 0 and 1, no longer than `context_length`."""
    encoder = subject.module
    for texts in (["a cat"], ["a cat", LONG_TEXT], [""], ["🐶 ünïcode", "a"]):
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
    ids, mask = _tokens(encoder, [LONG_TEXT])
    require(
        ids.shape[1] == encoder.context_length and bool(mask[0].any()),
        f"a long text gives {ids.shape[1]} tokens, and context_length is {encoder.context_length}",
    )
    last = _last_token(encoder, LONG_TEXT)
    require(
        len(ends) > 1 or last in ends,
        f"short texts end with token {next(iter(ends))}, and a long one, cut, with {last}",
    )
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
    require(gap < 1e-3, f"padded to the length of another text, it differs by {gap:.1e}")
    for token in (0, int(ids[0, 0])):
        other = quietly(encoder, (ids.masked_fill(mask == 0, token), mask))[:1]
        gap = difference(alone, other)
        require(gap < 1e-3, f"with id {token} under mask 0, it differs by {gap:.1e}")


IMAGE_ENCODER = (out_dim, no_network, preprocess, sizes, tokens, frozen, *EVERY_TOWER_PART)
TEXT_ENCODER = (out_dim, no_network, tokenizer, truncation, padding, frozen, *EVERY_TOWER_PART)


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


@contextmanager
def _network_watched() -> Iterator[list[str]]:
    """Refuses connections and name look-ups of this process, and collects where they went."""
    attempts: list[str] = []

    def refuse(*args: Any, **kwargs: Any) -> Any:
        attempts.append(str(next((each for each in args if isinstance(each, (str, tuple))), "?")))
        raise ConnectionRefusedError("connections are refused while a component is checked")

    connect, look_up = socket.socket.connect, socket.getaddrinfo
    socket.socket.connect = refuse  # type: ignore[method-assign]
    socket.getaddrinfo = refuse
    try:
        yield attempts
    finally:
        socket.socket.connect = connect  # type: ignore[method-assign]
        socket.getaddrinfo = look_up
