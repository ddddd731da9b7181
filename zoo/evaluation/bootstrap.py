"""Bootstrap intervals of any statistic that can be computed from how often each unit is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from zoo.errors import DataError

__all__ = ["Estimate", "Resampling", "bootstrap"]

_BLOCK = 1 << 22
"""Draws held at once."""


@dataclass(frozen=True)
class Estimate:
    """A value, and the ends of its interval; None where a single unit leaves nothing to draw from."""

    value: float
    low: float | None
    high: float | None

    def as_json(self) -> dict[str, float | None]:
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Resampling:
    """How intervals are made.

    Args:
        draws: how many times the units are drawn anew.
        level: share of the draws that an interval holds, in (0, 1).
        seed: of the draws; the same seed gives the same intervals.

    Raises:
        DataError: a value is out of range.
    """

    draws: int = 1000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.draws < 2:
            raise DataError(f"the number of bootstrap draws is 2 or more, not {self.draws}")
        if not 0 < self.level < 1:
            raise DataError(f"the level of an interval is between 0 and 1, not {self.level}")


def bootstrap(
    statistics: Callable[[Float[Tensor, "draws units"]], Float[Tensor, "draws statistics"]],
    names: Sequence[str],
    units: int,
    resampling: Resampling | None = None,
) -> dict[str, Estimate]:
    """Values and percentile intervals of several statistics, by name.

    Each draw takes as many units as there are, with replacement.

    Args:
        statistics: from how often each unit is drawn, a row a draw, to a row of values.
        units: how many independent units there are: pictures, not captions.

    Source: Efron 1979, Bootstrap methods: another look at the jackknife.
    """
    how = resampling or Resampling()
    values = statistics(torch.ones(1, units, dtype=torch.float64))[0].tolist()
    if units < 2:
        return {
            name: Estimate(value, None, None) for name, value in zip(names, values, strict=True)
        }
    generator = torch.Generator().manual_seed(how.seed)
    drawn = []
    step = max(1, _BLOCK // units)
    for start in range(0, how.draws, step):
        rows = min(step, how.draws - start)
        indices = torch.randint(units, (rows, units), generator=generator)
        indices += torch.arange(rows)[:, None] * units
        counts = torch.bincount(indices.flatten(), minlength=rows * units)
        drawn.append(statistics(counts.view(rows, units).double()))
    ends = torch.tensor([(1 - how.level) / 2, (1 + how.level) / 2], dtype=torch.float64)
    low, high = torch.cat(drawn).quantile(ends, dim=0).tolist()
    return {name: Estimate(*each) for name, *each in zip(names, values, low, high, strict=True)}
