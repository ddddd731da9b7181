"""Sums over all pairs of a batch, tile by tile, with analytic gradients and no matrix of all pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from zoo.errors import LossError

__all__ = ["Memory", "Reduction", "Summand", "Tile", "reduce_pairs", "sum_pairs"]

TILE = (1024, 2048)
"""Most rows and columns of a tile: large enough for fast products, small enough for a cache."""


class Tile(NamedTuple):
    """Where a tile of logits is: its rows are images, its columns texts."""

    rows: slice
    columns: slice


class Memory:
    """Room for a few matrices as large as a tile, taken once: to allocate for each tile leaves holes."""

    def __init__(self, images: Tensor, texts: Tensor) -> None:
        self.like = images
        self.size = min(images.shape[0], TILE[0]) * min(texts.shape[0], TILE[1])
        self.taken: dict[tuple[int, torch.dtype], Tensor] = {}

    def __call__(
        self, number: int, shape: torch.Size | tuple[int, int], dtype: torch.dtype | None = None
    ) -> Tensor:
        """Room `number`, with whatever is in it, in the precision of the logits, whose room is 0."""
        key = number, dtype or self.like.dtype
        if key not in self.taken:
            self.taken[key] = self.like.new_empty(self.size, dtype=key[1])
        height, width = shape
        return self.taken[key][: height * width].view(height, width)


@runtime_checkable
class Reduction(Protocol):
    """What becomes of the logits of all pairs: some tensors, and their gradients back to the logits."""

    def start(self, images: Tensor, texts: Tensor) -> None:
        """Before the first tile of the forward pass."""

    def see(self, logits: Tensor, tile: Tile, memory: Memory) -> None:
        """The next tile of the forward pass. The logits of negatives are left as they were."""

    def results(self) -> tuple[Tensor, ...]:
        """After the last tile."""

    def gradient(
        self, logits: Tensor, tile: Tile, gradients: tuple[Tensor, ...], memory: Memory
    ) -> Tensor:
        """With respect to the logits of a tile. Those of negatives are left as they were."""


@runtime_checkable
class Summand(Protocol):
    """What a tile adds to a sum over all pairs, and the derivative of that."""

    def value_and_gradient(
        self, logits: Tensor, tile: Tile, wanted: bool, memory: Memory
    ) -> tuple[Tensor, Tensor | None]:
        """A scalar, and the gradient where it is wanted; the logits may be overwritten."""


def reduce_pairs(
    reduction: Reduction, images: Tensor, texts: Tensor, scale: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, ...]:
    """What a reduction makes of `scale * images @ texts.T + bias`.

    The backward pass computes the logits a second time, unless one tile holds them all. Memory is
    that of the gradients and of a few tiles.
    """
    reduced: tuple[Tensor, ...] = _Reduce.apply(reduction, images, texts, scale, bias)
    return reduced


def sum_pairs(
    summand: Summand, images: Tensor, texts: Tensor, scale: Tensor, bias: Tensor | None = None
) -> Tensor:
    """The sum of a summand over all pairs. Its gradients are computed along with it, in one pass."""
    total: Tensor = _Sum.apply(summand, images, texts, scale, bias, torch.is_grad_enabled())
    return total


def _tiles(rows: int, columns: int) -> Iterator[Tile]:
    height, width = TILE
    for row in range(0, rows, height):
        for column in range(0, columns, width):
            yield Tile(
                slice(row, min(row + height, rows)), slice(column, min(column + width, columns))
            )


class _Logits:
    """Computes the logits of one tile after another, in the same memory."""

    def __init__(self, images: Tensor, texts: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        self.images, self.texts, self.scale, self.bias = images, texts, scale, bias
        self.memory = Memory(images, texts)

    def __call__(self, tile: Tile) -> Tensor:
        rows, columns = self.images[tile.rows], self.texts[tile.columns]
        logits = self.memory(0, (rows.shape[0], columns.shape[0]))
        torch.mm(rows, columns.T, out=logits)
        logits.mul_(self.scale)
        return logits if self.bias is None else logits.add_(self.bias)


class _Gradients:
    """Adds up the gradients of both batches, the scale and the bias from those of the logits."""

    def __init__(self, images: Tensor, texts: Tensor, scale: Tensor, wanted: Any) -> None:
        self.images, self.texts, self.scale = images, texts, scale
        image_wanted, text_wanted, self.scale_wanted, bias_wanted = wanted[1:5]
        # The scale's gradient is the product of a batch with its gradient, whichever there is.
        if image_wanted or (self.scale_wanted and not text_wanted):
            self.of_images: Tensor | None = torch.empty_like(images)
        else:
            self.of_images = None
        self.of_texts = torch.empty_like(texts) if text_wanted else None
        self.of_bias = scale.new_zeros(()) if bias_wanted else None

    def add(self, gradient: Tensor, tile: Tile) -> None:
        rows, columns = tile
        if self.of_images is not None:
            beta = int(columns.start > 0)  # with 0, what was there is overwritten
            self.of_images[rows].addmm_(gradient, self.texts[columns], beta=beta)
        if self.of_texts is not None:
            beta = int(rows.start > 0)
            self.of_texts[columns].addmm_(gradient.T, self.images[rows], beta=beta)
        if self.of_bias is not None:
            self.of_bias += gradient.sum()

    def finished(self) -> tuple[Tensor | None, ...]:
        of_scale = None
        if self.scale_wanted:
            of_scale = (
                _product(self.images, self.of_images)
                if self.of_images is not None
                else _product(self.texts, self.of_texts)
            )
        for each in (self.of_images, self.of_texts):
            if each is not None:
                each.mul_(self.scale)
        return self.of_images, self.of_texts, of_scale, self.of_bias


class _Reduce(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        reduction: Reduction,
        images: Tensor,
        texts: Tensor,
        scale: Tensor,
        bias: Tensor | None,
    ) -> tuple[Tensor, ...]:
        ctx.reduction = reduction
        ctx.save_for_backward(images, texts, scale, bias)
        one_tile = images.shape[0] <= TILE[0] and texts.shape[0] <= TILE[1]
        with torch.autocast(images.device.type, enabled=False):
            logits_of = _Logits(images, texts, scale, bias)
            reduction.start(images, texts)
            for tile in _tiles(images.shape[0], texts.shape[0]):
                logits = logits_of(tile)
                reduction.see(logits, tile, logits_of.memory)
        ctx.kept = logits if one_tile and any(ctx.needs_input_grad) else None
        # Detached, since the reduction, which this graph holds, keeps its own for the backward pass.
        return tuple(each.detach() for each in reduction.results())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        _refuse_second_derivatives()
        images, texts, scale, bias = ctx.saved_tensors
        with torch.autocast(images.device.type, enabled=False):
            sums = _Gradients(images, texts, scale, ctx.needs_input_grad)
            logits_of = _Logits(images, texts, scale, bias)
            for tile in _tiles(images.shape[0], texts.shape[0]):
                logits = logits_of(tile) if ctx.kept is None else ctx.kept
                gradient = ctx.reduction.gradient(logits, tile, gradients, logits_of.memory)
                sums.add(gradient, tile)
            return (None, *sums.finished())


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        summand: Summand,
        images: Tensor,
        texts: Tensor,
        scale: Tensor,
        bias: Tensor | None,
        differentiable: bool,
    ) -> Tensor:
        wanted = differentiable and any(ctx.needs_input_grad)
        with torch.autocast(images.device.type, enabled=False):
            total = scale.new_zeros(())
            logits_of = _Logits(images, texts, scale, bias)
            sums = _Gradients(images, texts, scale, ctx.needs_input_grad if wanted else [False] * 5)
            for tile in _tiles(images.shape[0], texts.shape[0]):
                value, gradient = summand.value_and_gradient(
                    logits_of(tile), tile, wanted, logits_of.memory
                )
                total += value
                if gradient is not None:
                    sums.add(gradient, tile)
            if wanted:
                ctx.save_for_backward(*sums.finished())
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        _refuse_second_derivatives()
        scaled = [each if each is None else each * gradient for each in ctx.saved_tensors]
        return (None, *scaled, None)


def _product(batch: Tensor, gradient: Tensor | None) -> Tensor:
    """The sum of products of two matrices, with no third one as large."""
    assert gradient is not None
    parts = zip(torch.split(batch, TILE[0]), torch.split(gradient, TILE[0]), strict=True)
    first, *others = ((some * other).sum() for some, other in parts)
    total: Tensor = sum(others, start=first)
    return total


def _refuse_second_derivatives() -> None:
    # Gradients are enabled in a backward pass only if that is to be differentiated again.
    if torch.is_grad_enabled():
        raise LossError(
            "this loss computes its gradients by formula, and they cannot be differentiated again; "
            "call backward() or torch.autograd.grad() without create_graph=True, or for second "
            "derivatives write the loss out with torch operations over the matrix of logits"
        )
