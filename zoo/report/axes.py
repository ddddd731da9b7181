"""Axes of charts: round ticks, labels, and where a value lies."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from zoo.errors import DataError

__all__ = ["Axis", "Scale", "axis", "readable"]

Scale = Literal["linear", "log", "percent"]
"""percent: linear, values from 0 to 1, written as percentages."""


@dataclass(frozen=True)
class Axis:
    """A range with its ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value lies, 0 at the low end and 1 at the high one."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def axis(values: Iterable[float], scale: Scale = "linear", *, count: int = 5) -> Axis:
    """The axis that holds all values, with about so many ticks.

    Raises:
        DataError: there is no value, one is not finite, or the scale is log and one is not positive.
    """
    found = sorted(values)
    if not found:
        raise DataError("a chart takes at least one point")
    if not all(map(math.isfinite, found)):
        raise DataError("a chart takes finite values only")
    low, high = found[0], found[-1]
    if scale == "log":
        return _log_axis(low, high, count)
    least = 1e-9 * max(abs(low), abs(high), 1e-200)
    if high - low <= least:
        room = abs(high) / 10 if abs(high) > 1e-200 else 0.5
        low, high = low - room, high + room
        if scale == "percent":
            low, high = max(low, 0.0), min(high, 1.0)
    step = _round_step((high - low) / count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(float(f"{step * number:.12g}") for number in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks, tuple(_labels(ticks, step, scale)))


def readable(value: float) -> str:
    """A number in four digits; large ones with thousands apart, then in k, M or B."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= max(unit, 1e5):
            return f"{value / unit:.4g}{name}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    written = f"{value:.4g}"
    if "e" in written:
        digits, power = written.split("e")
        return f"{digits}e{int(power)}"
    return written


def _round_step(least: float) -> float:
    """The least of 1, 2, 5, 10, … that is not below."""
    power = float(10 ** math.floor(math.log10(least)))
    return next(each * power for each in (1, 2, 5, 10) if each * power >= least * (1 - 1e-9))


def _labels(ticks: tuple[float, ...], step: float, scale: Scale) -> list[str]:
    if scale == "percent":
        decimals = max(0, -math.floor(math.log10(step * 100) + 1e-9))
        return [f"{tick * 100:.{decimals}f}%" for tick in ticks]
    if not 1e-3 <= max(map(abs, ticks)) < 1e5:
        return [readable(tick) for tick in ticks]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{tick:,.{decimals}f}" for tick in ticks]


def _log_axis(low: float, high: float, count: int) -> Axis:
    if low <= 0:
        raise DataError(f"a logarithmic chart takes positive values only, not {low:g}")
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for parts in ((1, 2, 5), (1, 3), (1,)):
        steps = [part * 10.0**power for power in decades for part in parts]
        below = max((each for each in steps if each <= low * (1 + 1e-9)), default=steps[0])
        above = min((each for each in steps if each >= high * (1 - 1e-9)), default=steps[-1] * 10)
        if below == above:
            above = below * 10
        ticks = [each for each in steps if below <= each <= above]
        if len(ticks) <= count + 2:
            break
    every = -(-len(ticks) // (count + 2))
    ticks = ticks[::every]
    return Axis(below, above, tuple(ticks), tuple(map(readable, ticks)), log=True)
