"""Features of frozen encoders: computed once, kept on disk under a key of all that matters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from PIL import Image
from torch import Tensor

from zoo.clip import CLIP, evaluating
from zoo.data.hashes import PictureHash, check_unchanged, picture_hashes
from zoo.data.held import Held
from zoo.data.pictures import open_picture
from zoo.data.unreadable import Unread, noted
from zoo.errors import DataError, SpecError
from zoo.memory import keep_freed_memory
from zoo.parameters import any_tensor
from zoo.recipe import Precision
from zoo.training.ingredients import ingredients
from zoo.training.precision import autocast, choose
from zoo.training.rows import Features
from zoo.training.store import Store
from zoo.training.tokens import Tokens

__all__ = ["Features", "Progress", "image_features", "prefetched", "text_features"]

Progress = Callable[[str, int, int], None]
"""Told `(what is being done, how many are done, of how many)`."""

_IMAGES_AT_ONCE = 16
_TEXTS_AT_ONCE = 32
_NOISE = {"fp32": 1e-3, "bf16": 3e-2}
"""How far two results of one encoder for one input may lie apart, as a share of their length."""
_T = TypeVar("_T")
_R = TypeVar("_R")

_Side = Literal["image", "text"]
_Run = Callable[[list[list[int]]], Iterator[Tensor]]
"""Batches of inputs to what the encoder says of each batch."""


def image_features(
    model: CLIP,
    pictures: Sequence[Path | Held],
    progress: Progress | None = None,
    *,
    precision: Precision = "auto",
    workers: int = 2,
    unread: dict[int, Unread] | None = None,
) -> Features:
    """What the image encoder, in eval mode, says of each picture; before the head.

    Mapped from disk if the encoder is frozen; computed each time, in memory, if not.

    Args:
        progress: told of what is computed; not called for what is there.
        workers: threads that read pictures.
        unread: where pictures that cannot be read are noted, by index; the rows are the others'.

    Raises:
        DataError: no pictures; or one that has features that are no numbers, or cannot be read and
            is not to be noted; the message names it.
        SpecError: the encoder is frozen, and says something else of a picture each time.
        CacheError: the features cannot be kept.
        TowerError: the model has no such tower.
    """
    if not pictures:
        raise DataError("there are no pictures to compute features of")
    tower = model.tower("image")
    tower.to(memory_format=torch.channels_last)
    encoder = tower.encoder
    some = any_tensor(tower)
    device = some.device
    chosen = choose(precision, device)
    said = ingredients(model, "image", chosen, device)
    hashes: list[PictureHash] | None = None
    if said is not None:
        hashes = picture_hashes(pictures, progress, workers=workers, unread=unread)
    numbers = [index for index in range(len(pictures)) if index not in (unread or ())]
    if not numbers and unread:
        raise DataError(f"no picture can be read; the first: {unread[0].reason}")
    pictures = [pictures[index] for index in numbers]
    lost: dict[int, Unread] | None = None if unread is None else {}

    def read(index: int) -> Tensor | None:
        return noted(lambda: encoder.preprocess(open_picture(pictures[index])), index, lost)

    @cache
    def blank() -> Tensor:
        """In place of an unread picture, so that a batch stays as large as it was."""
        tensor: Tensor = encoder.preprocess(Image.new("RGB", (64, 64)))
        return tensor

    def run(batches: list[list[int]]) -> Iterator[Tensor]:
        with ThreadPoolExecutor(max(workers, 1)) as pool:

            def start(batch: list[int]) -> list[Future[Tensor | None]]:
                once = {index: pool.submit(read, index) for index in set(batch)}
                return [once[index] for index in batch]

            for batch, reading in zip(batches, prefetched(start, batches), strict=True):
                found = [future.result() for future in reading]
                stacked = torch.stack([blank() if each is None else each for each in found])
                if hashes is not None:
                    for index in _others(batch, lost):
                        check_unchanged(pictures[index], hashes[index].state)
                stacked = stacked.to(device, some.dtype, memory_format=torch.channels_last)
                with autocast(chosen, device):
                    yield tower.features(stacked)

    def batches(wanted: Sequence[int]) -> list[list[int]]:
        return [
            list(wanted[start : start + _IMAGES_AT_ONCE])
            for start in range(0, len(wanted), _IMAGES_AT_ONCE)
        ]

    filling = _Filling(tower, "image", lambda index: str(pictures[index]), chosen, progress, lost)
    if said is None or hashes is None:
        features = filling.live(batches(range(len(pictures))), run)
    else:
        store = Store(said, [each.sha256 for each in hashes])
        features = filling.fill(store, batches(store.missing()), run, _IMAGES_AT_ONCE)
    if unread is not None and lost:
        unread.update({numbers[index]: each for index, each in lost.items()})
    return features


def text_features(
    model: CLIP,
    texts: Sequence[str],
    progress: Progress | None = None,
    *,
    precision: Precision = "auto",
) -> Features:
    """What the text encoder, in eval mode, says of each text; before the head.

    Mapped from disk if the encoder is frozen; computed each time, in memory, if not. A text is
    tokenized once, and computed among texts of its own length, without padding.

    Args:
        progress: told of what is computed; not called for what is there.

    Raises:
        DataError: no texts, or one that has features that are no numbers; the message names it.
        SpecError: the encoder is frozen, and says something else of a text each time.
        CacheError: the features cannot be kept.
        TowerError: the model has no such tower.
    """
    if not texts:
        raise DataError("there are no texts to compute features of")
    tower = model.tower("text")
    device = any_tensor(tower).device
    chosen = choose(precision, device)
    tokens = Tokens(model.tokenize, texts)

    def run(batches: list[list[int]]) -> Iterator[Tensor]:
        for batch in batches:
            with autocast(chosen, device):
                yield tower.features(
                    **{name: ids.to(device) for name, ids in tokens.batch(batch).items()}
                )

    filling = _Filling(tower, "text", lambda index: repr(texts[index][:80]), chosen, progress)
    said = ingredients(model, "text", chosen, device)
    if said is None:
        return filling.live(tokens.batches(range(len(texts)), _TEXTS_AT_ONCE), run)
    store = Store(said, tokens.keys())
    return filling.fill(store, tokens.batches(store.missing(), _TEXTS_AT_ONCE), run, _TEXTS_AT_ONCE)


def prefetched(
    start: Callable[[_T], list[Future[_R]]], items: Sequence[_T]
) -> Iterator[list[Future[_R]]]:
    """Start work on the next two items while the present one is in use."""
    running = [start(item) for item in items[:2]]
    for index in range(len(items)):
        yield running.pop(0)
        if index + 2 < len(items):
            running.append(start(items[index + 2]))


class _Filling:
    """An encoder at work on what no row is kept of.

    Args:
        name: of an input, for messages.
        unread: inputs that have no row after all; `run` notes them before it gives their batch.
    """

    def __init__(
        self,
        tower: Any,
        side: _Side,
        name: Callable[[int], str],
        precision: Literal["fp32", "bf16"],
        progress: Progress | None,
        unread: dict[int, Unread] | None = None,
    ) -> None:
        self.tower, self.side, self.name = tower, side, name
        self.precision, self.progress, self.unread = precision, progress, unread

    def live(self, batches: list[list[int]], run: _Run) -> Features:
        """Rows in memory, of an encoder that may say something else next time."""
        total, seen = sum(map(len, batches)), 0
        checked = "encoder" not in self.tower.frozen_parts
        done: list[Tensor] = []
        order: list[int] = []
        keep_freed_memory()
        with evaluating(self.tower), torch.no_grad():
            for batch, rows in zip(batches, run(batches), strict=True):
                kept, rows = self._readable(batch, rows)
                order += kept
                rows = _kept_as(rows)
                self._check_finite(kept, rows)
                if kept and not checked:
                    self._check_repeats(kept[0], rows[0], run, len(batch))
                    checked = True
                done.append(rows)
                seen += len(batch)
                self._tell(seen, total)
        self._check_some(order)
        row_of = {index: row for row, index in enumerate(order)}
        return Features([torch.cat(done)], [(0, row_of[index]) for index in sorted(order)])

    def fill(self, store: Store, batches: list[list[int]], run: _Run, size: int) -> Features:
        """Rows from the store, which those that it misses are added to.

        Every batch is filled up to one size, so that what is said of an input does not depend on how
        many others were missing: the same sums run in the same order.
        """
        total, done, checked = sum(map(len, batches)), 0, False
        full = [batch + batch[-1:] * (size - len(batch)) for batch in batches]
        try:
            keep_freed_memory()
            with evaluating(self.tower), torch.no_grad():
                for batch, computed in zip(batches, run(full), strict=True):
                    kept, rows = self._readable(batch, computed[: len(batch)])
                    if kept:
                        rows = _kept_as(rows)
                        self._check_finite(kept, rows)
                        if not checked:
                            self._check_repeats(kept[0], rows[0], run, size)
                            store.expect(total, rows[0])
                            checked = True
                        self._add(store, kept, rows)
                    done += len(batch)
                    self._tell(done, total)
        finally:
            store.flush()  # what is done is done, even if the next picture cannot be read
        self._note_copies(store)
        self._check_some(_others(list(range(len(store.keys))), self.unread))
        return store.features(without=self.unread or ())

    def _check_some(self, read: list[int]) -> None:
        if not read and self.unread:
            raise DataError(f"no picture can be read; the first: {self.unread[0].reason}")

    def _note_copies(self, store: Store) -> None:
        """Only the first of inputs that are the same was tried."""
        if self.unread:
            faults = {store.keys[index]: each.reason for index, each in self.unread.items()}
            for index, key in enumerate(store.keys):
                if key in faults and index not in self.unread:
                    self.unread[index] = Unread(f"{self.name(index)}: a copy of {faults[key]}")

    def _readable(self, batch: list[int], rows: Tensor) -> tuple[list[int], Tensor]:
        kept = _others(batch, self.unread)
        if len(kept) == len(batch):
            return batch, rows
        unread = self.unread or {}
        return kept, rows[[place for place, index in enumerate(batch) if index not in unread]]

    def _add(self, store: Store, batch: list[int], rows: Tensor) -> None:
        try:
            store.add([store.keys[index] for index in batch], rows)
        except ValueError as error:
            raise DataError(
                f"{self.name(batch[0])}: the {self.side} encoder gives features of another kind: "
                f"{error}"
            ) from error

    def _check_finite(self, batch: list[int], rows: Tensor) -> None:
        finite = rows.flatten(1).isfinite().all(1)
        if not finite.all():
            name = self.name(batch[int(finite.logical_not().nonzero()[0])])
            raise DataError(f"{name}: the {self.side} encoder gives NaN or infinity for it")

    def _check_repeats(self, index: int, row: Tensor, run: _Run, size: int) -> None:
        """Refuse an encoder that is random in eval mode, or lets the other inputs of a batch matter.

        The same input is run again, in a batch of this size and of nothing else.
        """
        again = _kept_as(next(run([[index] * size])))
        gap = (again.float() - row.float()).flatten(1).norm(dim=1).max() / row.float().norm()
        if gap > _NOISE[self.precision]:
            raise SpecError(
                f"{self.side}.encoder: is frozen, and for {self.name(index)} it gives other features "
                f"when it runs again (they differ by {gap:.0%} of their length): it is random in eval "
                f"mode, or mixes the inputs of a batch, so that its features cannot be used again. Set "
                f"{self.side}.train to full, or choose another encoder"
            )

    def _tell(self, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(f"{self.side} features", done, total)


def _others(batch: list[int], unread: dict[int, Unread] | None) -> list[int]:
    """What of a batch was read."""
    return [index for index in batch if index not in unread] if unread else batch


def _kept_as(rows: Tensor) -> Tensor:
    """On the CPU, in the type they were computed in; in float32 if that is wider than it."""
    narrow = rows.dtype in (torch.bfloat16, torch.float16, torch.float32)
    return rows.detach().to("cpu", rows.dtype if narrow else torch.float32)
