"""Charts as inline SVG, coloured by the page around them: lines, scatter, values with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

from markupsafe import Markup

from zoo.report.axes import Axis, Scale, axis, readable
from zoo.report.drawing import (
    CHAR,
    STYLES,
    Box,
    Frame,
    blank,
    dot,
    figure,
    label,
    plane,
    write,
    x_axis,
)

__all__ = ["Bar", "Line", "Point", "interval_chart", "line_chart", "scatter_chart"]

_MOST = 600
"""Points drawn of a line; of longer ones, the least and the greatest of each stretch."""
_MARKED = 30
"""Points up to which a line shows each, with its value."""


@dataclass(frozen=True)
class Line:
    """A named series of points, in order of x."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Point:
    """A labelled point; `low` and `high` are the ends of an interval of y, `group` its colour."""

    label: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    group: str = ""


@dataclass(frozen=True)
class Bar:
    """A labelled value, with the ends of its interval where it has one."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    group: str = ""


def line_chart(
    title: str, lines: Sequence[Line], *, x: str, y: str = "", scale: Scale = "linear"
) -> Markup:
    """Lines over one axis.

    Args:
        x: what the x axis counts; likewise `y`, which may be left out where the title says it.
        scale: of the y axis.

    Raises:
        DataError: there is no point, or one that the scale does not have.
    """
    lines = [line for line in lines if line.points]
    across = axis([point[0] for line in lines for point in line.points])
    if lines and any(len(line.points) > 1 for line in lines):
        ends = [line.points[index][0] for line in lines for index in (0, -1)]
        across = Axis(min(ends), max(ends), *_inside(across, min(ends), max(ends)))
    up = axis([point[1] for line in lines for point in line.points], scale)
    last = "; ".join(
        f"{line.name} from {_said(line.points[0][1], scale)} to {_said(line.points[-1][1], scale)}"
        for line in lines
    )

    def draw(width: float, height: float) -> Element:
        svg, frame = plane(width, height, across, up, x, y)
        for number, line in enumerate(lines):
            group = SubElement(svg, "g", {"class": f"series s{number % STYLES}"})
            points = [frame.at(*point) for point in _thinned(line.points)]
            path = "M" + "L".join(f"{h:.1f} {v:.1f}" for h, v in points)
            SubElement(group, "path", {"class": "line", "d": path})
            if len(line.points) <= _MARKED:
                for point in line.points:
                    said = f"{line.name}, {x} {readable(point[0])}: {_said(point[1], scale)}"
                    dot(group, *frame.at(*point), said, radius=3)
        return svg

    legend = [(line.name, _said(line.points[-1][1], scale)) for line in lines]
    return figure(title, f"Over {x}: {last}.", draw, legend)


def scatter_chart(
    title: str,
    points: Sequence[Point],
    *,
    x: str,
    y: str,
    x_scale: Scale = "linear",
    y_scale: Scale = "linear",
) -> Markup:
    """Labelled points, with intervals of y where they have them. Groups differ in colour.

    Raises:
        DataError: there is no point, or one that a scale does not have.
    """
    across = axis([each.x for each in points], x_scale)
    ends = [end for each in points for end in (each.low, each.high) if end is not None]
    up = axis([*(each.y for each in points), *ends], y_scale)
    groups = list(dict.fromkeys(each.group for each in points))

    def draw(width: float, height: float) -> Element:
        svg, frame = plane(width, height, across, up, x, y)
        taken = [_around(frame, each) for each in points]
        for each in points:
            style = f"series s{groups.index(each.group) % STYLES}"
            group = SubElement(svg, "g", {"class": style})
            h, v = frame.at(each.x, each.y)
            if each.low is not None and each.high is not None:
                low, high = frame.at(each.x, each.low)[1], frame.at(each.x, each.high)[1]
                SubElement(group, "path", {"d": f"M{h:.1f} {low:.1f}V{high:.1f}"})
            said = f"{each.label}: {x} {_said(each.x, x_scale)}, {y} {_said(each.y, y_scale)}"
            dot(group, h, v, said + _between(each, y_scale), radius=4.5)
            label(svg, each.label, h, v, frame, taken)
        return svg

    legend = [(group, "") for group in groups] if groups != [""] else []
    said = "; ".join(f"{each.label} at {_said(each.y, y_scale)}" for each in points)
    return figure(title, f"{y} against {x}: {said}.", draw, legend, wide=True)


def interval_chart(title: str, bars: Sequence[Bar], *, x: str, scale: Scale = "linear") -> Markup:
    """Values with their intervals, a row each, labels at the left.

    Raises:
        DataError: there is no value.
    """
    ends = [end for each in bars for end in (each.low, each.high) if end is not None]
    across = axis([*(each.value for each in bars), *ends], scale)
    groups = list(dict.fromkeys(each.group for each in bars))

    def draw(width: float, _: float) -> Element:
        row, top = 30.0, 8.0
        bottom = top + row * len(bars)
        svg = blank(width, bottom + 48)
        left = min(12 + CHAR * max(len(each.label) for each in bars), 0.5 * width)
        rows = Axis(0, len(bars), (), ())
        frame = Frame(left, top, width - 18, bottom, across, rows)
        x_axis(svg, frame, x)
        letters = int((left - 12) / CHAR)
        for number, each in enumerate(bars):
            style = f"series s{groups.index(each.group) % STYLES}"
            group = SubElement(svg, "g", {"class": style})
            h, v = frame.at(each.value, len(bars) - number - 0.5)
            if each.low is not None and each.high is not None:
                low, high = frame.at(each.low, 0)[0], frame.at(each.high, 0)[0]
                SubElement(group, "path", {"d": f"M{low:.1f} {v:.1f}H{high:.1f}"})
            said = f"{each.label}: {_said(each.value, scale)}" + _between(each, scale)
            dot(group, h, v, said, radius=4.5)
            write(svg, left - 10, v + 4.5, _cut(each.label, letters), "end", "label")
        return svg

    legend = [(group, "") for group in groups] if groups != [""] else []
    said = "; ".join(
        f"{each.label} {_said(each.value, scale)}{_between(each, scale)}" for each in bars
    )
    return figure(title, f"{x}: {said}.", draw, legend, wide=True)


def _inside(found: Axis, low: float, high: float) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """The ticks of an axis that are in a range."""
    kept = [
        (tick, label)
        for tick, label in zip(found.ticks, found.labels, strict=True)
        if low <= tick <= high
    ]
    return tuple(tick for tick, _ in kept), tuple(label for _, label in kept)


def _around(frame: Frame, point: Point) -> Box:
    """What a point and its interval cover."""
    h, v = frame.at(point.x, point.y)
    ends = [frame.at(point.x, end)[1] for end in (point.low, point.high) if end is not None]
    return h - 5, min(v - 5, *ends, v), h + 5, max(v + 5, *ends, v)


def _thinned(points: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """All points, or of each stretch of many the least and the greatest, in order."""
    if len(points) <= _MOST:
        yield from points
        return
    stretches = _MOST // 2
    for number in range(stretches):
        part = points[number * len(points) // stretches : (number + 1) * len(points) // stretches]
        ends = {min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])}
        yield from sorted(ends)


def _said(value: float, scale: Scale) -> str:
    return f"{value:.1%}" if scale == "percent" else readable(value)


def _between(each: Point | Bar, scale: Scale) -> str:
    if each.low is None or each.high is None:
        return ""
    return f" ({_said(each.low, scale)} to {_said(each.high, scale)})"


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: max(letters - 1, 1)] + "…"
