"""Charts as inline SVG, coloured by the page around them: lines, scatter, values with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

from zoo.report.axes import Axis, Scale, axis, readable

__all__ = ["Bar", "Line", "Point", "interval_chart", "line_chart", "scatter_chart"]

_CHAR = 7.2
"""Width of a letter at the size of chart text, generously."""
_TEXT = 13
_MOST = 600
"""Points drawn of a line; of longer ones, the least and the greatest of each stretch."""
_MARKED = 30
"""Points up to which a line shows each, with its value."""
_STYLES = 6
"""Colours that the page has for series."""


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


@dataclass(frozen=True)
class _Frame:
    """The plane of a chart in its drawing."""

    left: float
    top: float
    right: float
    bottom: float
    x: Axis
    y: Axis

    def at(self, x: float, y: float) -> tuple[float, float]:
        return (
            self.left + self.x.share(x) * (self.right - self.left),
            self.bottom - self.y.share(y) * (self.bottom - self.top),
        )


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
        svg, frame = _plane(width, height, across, up, x, y)
        for number, line in enumerate(lines):
            group = SubElement(svg, "g", {"class": f"series s{number % _STYLES}"})
            points = [frame.at(*point) for point in _thinned(line.points)]
            path = "M" + "L".join(f"{h:.1f} {v:.1f}" for h, v in points)
            SubElement(group, "path", {"class": "line", "d": path})
            if len(line.points) <= _MARKED:
                for point in line.points:
                    said = f"{line.name}, {x} {readable(point[0])}: {_said(point[1], scale)}"
                    _dot(group, *frame.at(*point), said, radius=3)
        return svg

    legend = [(line.name, _said(line.points[-1][1], scale)) for line in lines]
    return _figure(title, f"Over {x}: {last}.", draw, legend)


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
        svg, frame = _plane(width, height, across, up, x, y)
        taken = [_around(frame, each) for each in points]
        for each in points:
            style = f"series s{groups.index(each.group) % _STYLES}"
            group = SubElement(svg, "g", {"class": style})
            h, v = frame.at(each.x, each.y)
            if each.low is not None and each.high is not None:
                low, high = frame.at(each.x, each.low)[1], frame.at(each.x, each.high)[1]
                SubElement(group, "path", {"d": f"M{h:.1f} {low:.1f}V{high:.1f}"})
            said = f"{each.label}: {x} {_said(each.x, x_scale)}, {y} {_said(each.y, y_scale)}"
            _dot(group, h, v, said + _between(each, y_scale), radius=4.5)
            _label(svg, each.label, h, v, frame, taken)
        return svg

    legend = [(group, "") for group in groups] if groups != [""] else []
    said = "; ".join(f"{each.label} at {_said(each.y, y_scale)}" for each in points)
    return _figure(title, f"{y} against {x}: {said}.", draw, legend, wide=True)


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
        svg = _svg(width, bottom + 48)
        left = min(12 + _CHAR * max(len(each.label) for each in bars), 0.5 * width)
        rows = Axis(0, len(bars), (), ())
        frame = _Frame(left, top, width - 18, bottom, across, rows)
        _x_axis(svg, frame, x)
        letters = int((left - 12) / _CHAR)
        for number, each in enumerate(bars):
            style = f"series s{groups.index(each.group) % _STYLES}"
            group = SubElement(svg, "g", {"class": style})
            h, v = frame.at(each.value, len(bars) - number - 0.5)
            if each.low is not None and each.high is not None:
                low, high = frame.at(each.low, 0)[0], frame.at(each.high, 0)[0]
                SubElement(group, "path", {"d": f"M{low:.1f} {v:.1f}H{high:.1f}"})
            said = f"{each.label}: {_said(each.value, scale)}" + _between(each, scale)
            _dot(group, h, v, said, radius=4.5)
            _text(svg, left - 10, v + 4.5, _cut(each.label, letters), "end", "label")
        return svg

    legend = [(group, "") for group in groups] if groups != [""] else []
    said = "; ".join(
        f"{each.label} {_said(each.value, scale)}{_between(each, scale)}" for each in bars
    )
    return _figure(title, f"{x}: {said}.", draw, legend, wide=True)


def _figure(
    title: str,
    description: str,
    draw: Callable[[float, float], Element],
    legend: Sequence[tuple[str, str]],
    *,
    wide: bool = False,
) -> Markup:
    """A figure with its title and legend; a wide one is drawn anew for narrow windows."""
    sizes = [("wide", 760, 420), ("narrow", 400, 380)] if wide else [("", 420, 260)]
    drawn = []
    for kind, width, height in sizes:
        svg = draw(width, height)
        if kind:
            svg.set("class", kind)
        title_of, description_of = Element("title"), Element("desc")
        title_of.text, description_of.text = title, description
        svg.insert(0, title_of)
        svg.insert(1, description_of)
        drawn.append(Markup(tostring(svg, encoding="unicode")))
    keys = Markup("").join(
        Markup('<span><span class="key s{}"></span>{} <b>{}</b></span> ').format(
            number % _STYLES, name, value
        )
        for number, (name, value) in enumerate(legend)
    )
    return Markup(
        '<figure class="chart{}"><figcaption><h3>{}</h3>{}</figcaption>{}</figure>'
    ).format(
        " across" if wide else "",
        title,
        Markup('<p class="legend">{}</p>').format(keys) if legend else "",
        Markup("").join(drawn),
    )


def _svg(width: float, height: float) -> Element:
    return Element("svg", {"viewBox": f"0 0 {width:g} {height:g}", "role": "img"})


def _plane(
    width: float, height: float, across: Axis, up: Axis, x: str, y: str
) -> tuple[Element, _Frame]:
    svg = _svg(width, height)
    left = 14 + _CHAR * max(map(len, up.labels))
    top = 26.0 if y else 10.0
    frame = _Frame(left, top, width - 18, height - 48, across, up)
    for tick, label in zip(up.ticks, up.labels, strict=True):
        v = frame.at(across.low, tick)[1]
        SubElement(
            svg,
            "path",
            {"class": "grid", "d": f"M{frame.left:.1f} {v:.1f}H{frame.right:.1f}"},
        )
        _text(svg, left - 8, v + 4.5, label, "end")
    if y:
        _text(svg, 2, 13, y, "start")
    _x_axis(svg, frame, x)
    return svg, frame


def _x_axis(svg: Element, frame: _Frame, name: str) -> None:
    room = frame.right - frame.left
    widest = _CHAR * (max(map(len, frame.x.labels), default=0) + 2)
    every = max(1, -(-int(widest * len(frame.x.ticks)) // max(int(room), 1)))
    shown = list(zip(frame.x.ticks, frame.x.labels, strict=True))[::every]
    for tick, label in shown:
        h = frame.at(tick, frame.y.low)[0]
        SubElement(
            svg,
            "path",
            {"class": "grid", "d": f"M{h:.1f} {frame.top:.1f}V{frame.bottom:.1f}"},
        )
        half = _CHAR * len(label) / 2
        _text(svg, min(h, frame.right + 16 - half), frame.bottom + 18, label, "middle")
    _text(svg, (frame.left + frame.right) / 2, frame.bottom + 40, name, "middle")


def _inside(found: Axis, low: float, high: float) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """The ticks of an axis that are in a range."""
    kept = [
        (tick, label)
        for tick, label in zip(found.ticks, found.labels, strict=True)
        if low <= tick <= high
    ]
    return tuple(tick for tick, _ in kept), tuple(label for _, label in kept)


def _text(
    svg: Element, h: float, v: float, text: str, anchor: str, style: str | None = None
) -> None:
    place = {"x": f"{h:.1f}", "y": f"{v:.1f}", "text-anchor": anchor}
    SubElement(svg, "text", place | ({"class": style} if style else {})).text = text


def _dot(parent: Element, h: float, v: float, said: str, *, radius: float) -> None:
    dot = SubElement(parent, "circle", {"cx": f"{h:.1f}", "cy": f"{v:.1f}", "r": f"{radius:g}"})
    SubElement(dot, "title").text = said


_Box = tuple[float, float, float, float]


def _around(frame: _Frame, point: Point) -> _Box:
    """What a point and its interval cover."""
    h, v = frame.at(point.x, point.y)
    ends = [frame.at(point.x, end)[1] for end in (point.low, point.high) if end is not None]
    return h - 5, min(v - 5, *ends, v), h + 5, max(v + 5, *ends, v)


def _label(svg: Element, text: str, h: float, v: float, frame: _Frame, taken: list[_Box]) -> None:
    """Write beside a point where nothing else stands; else where least does."""
    width = _CHAR * len(text)

    def hidden(box: _Box) -> float:
        area = sum(
            max(0.0, min(box[2], each[2]) - max(box[0], each[0]))
            * max(0.0, min(box[3], each[3]) - max(box[1], each[1]))
            for each in taken
        )
        outside = max(0.0, frame.left - box[0]) + max(0.0, box[2] - frame.right - 16)
        return area + 100 * outside + 100 * max(0.0, frame.top - box[1] - 8)

    places = [
        (h + 8, v - 7),
        (h - 8 - width, v - 7),
        *((h - width / 2, v + shift) for shift in (-22, 9)),
        *((h + side, v + shift) for shift in (-20, 8) for side in (6, -6 - width)),
    ]
    near = len(places)
    places += [
        (h + side, v - 7 + shift * lines)
        for lines in range(2, 8)
        for shift in (-15, 15)
        for side in (14, -14 - width)
    ]
    boxes = [(left, top, left + width, top + 14) for left, top in places]
    best = min(boxes, key=hidden)
    taken.append(best)
    if boxes.index(best) >= near:
        end = best[0] - 2 if best[0] > h else best[2] + 2
        path = f"M{h:.1f} {v:.1f}L{end:.1f} {(best[1] + best[3]) / 2:.1f}"
        SubElement(svg, "path", {"class": "leader", "d": path})
    _text(svg, best[0], best[3] - 3, text, "start", "label")


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
