"""The order of training: which pairs, captions and random seeds each step draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zoo.data.pairs import Pair
from zoo.errors import DataError

__all__ = ["Draws", "Order"]

_Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Draws:
    """A row for each pair drawn: its index, which of its captions, a seed for its augmentation."""

    pairs: _Integers
    captions: _Integers
    seeds: _Integers

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, rows: slice | list[int]) -> Draws:
        return Draws(self.pairs[rows], self.captions[rows], self.seeds[rows])


class Order:
    """What each step draws: a function of the seed and the step, and of nothing before it.

    An epoch goes through all concepts, or all pairs, in a random order, each once; what does not
    fill a last batch is left out of it. Of a concept one pair is drawn, of a pair one caption.

    Raises:
        DataError: there are fewer than two to contrast.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        sampling: Literal["pair", "concept"],
        batch_size: int,
        seed: int,
    ) -> None:
        groups: dict[str | int, list[int]] = {}
        for index, pair in enumerate(pairs):
            groups.setdefault(pair.concept if sampling == "concept" else index, []).append(index)
        if len(groups) < 2:
            raise DataError(
                f"training contrasts pictures with one another, and the split has {len(groups)}"
            )
        self.batch_size = min(batch_size, len(groups))
        self.steps_per_epoch = len(groups) // self.batch_size
        self._seed = seed
        self._sizes = np.array([len(group) for group in groups.values()])
        self._starts = np.cumsum(self._sizes) - self._sizes
        self._members = np.array([index for group in groups.values() for index in group])
        self._captions = np.array([len(pair.captions) for pair in pairs])
        self.epoch = lru_cache(maxsize=2)(self._epoch)

    def step(self, number: int) -> Draws:
        """What a step draws, counted from 0 over all epochs."""
        epoch, place = divmod(number, self.steps_per_epoch)
        draws: Draws = self.epoch(epoch)
        return draws[place * self.batch_size : (place + 1) * self.batch_size]

    def _epoch(self, number: int) -> Draws:
        random = np.random.default_rng([self._seed, number])
        order = random.permutation(len(self._sizes))[: self.steps_per_epoch * self.batch_size]
        pairs = self._members[self._starts[order] + _below(self._sizes[order], random)]
        captions = _below(self._captions[pairs], random)
        return Draws(pairs, captions, random.integers(2**62, size=len(order)))


def _below(bounds: NDArray[Any], random: np.random.Generator) -> _Integers:
    """For each bound a random whole number from 0 to below it."""
    return random.integers(bounds)
