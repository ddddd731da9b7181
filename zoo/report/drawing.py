"""What charts are drawn with, as SVG: a plane with its axes, dots, text that finds room, the figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

from zoo.report.axes import Axis

__all__ = [
    "CHAR",
    "STYLES",
    "Box",
    "Frame",
    "blank",
    "dot",
    "figure",
    "label",
    "plane",
    "write",
    "x_axis",
]

CHAR = 7.2
"""Width of a letter at the size of chart text, generously."""
STYLES = 6
"""Colours that the page has for series."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom."""


@dataclass(frozen=True)
class Frame:
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


def figure(
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
            number % STYLES, name, value
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


def blank(width: float, height: float) -> Element:
    """An empty drawing."""
    return Element("svg", {"viewBox": f"0 0 {width:g} {height:g}", "role": "img"})


def plane(
    width: float, height: float, across: Axis, up: Axis, x: str, y: str
) -> tuple[Element, Frame]:
    """An empty drawing with both axes, and the plane between them."""
    svg = blank(width, height)
    left = 14 + CHAR * max(map(len, up.labels))
    top = 26.0 if y else 10.0
    frame = Frame(left, top, width - 18, height - 48, across, up)
    for tick, label in zip(up.ticks, up.labels, strict=True):
        v = frame.at(across.low, tick)[1]
        SubElement(
            svg,
            "path",
            {"class": "grid", "d": f"M{frame.left:.1f} {v:.1f}H{frame.right:.1f}"},
        )
        write(svg, left - 8, v + 4.5, label, "end")
    if y:
        write(svg, 2, 13, y, "start")
    x_axis(svg, frame, x)
    return svg, frame


def x_axis(svg: Element, frame: Frame, name: str) -> None:
    """Ticks below a plane, as many as there is room for, and what is counted."""
    room = frame.right - frame.left
    widest = CHAR * (max(map(len, frame.x.labels), default=0) + 2)
    every = max(1, -(-int(widest * len(frame.x.ticks)) // max(int(room), 1)))
    shown = list(zip(frame.x.ticks, frame.x.labels, strict=True))[::every]
    for tick, label in shown:
        h = frame.at(tick, frame.y.low)[0]
        SubElement(
            svg,
            "path",
            {"class": "grid", "d": f"M{h:.1f} {frame.top:.1f}V{frame.bottom:.1f}"},
        )
        half = CHAR * len(label) / 2
        write(svg, min(h, frame.right + 16 - half), frame.bottom + 18, label, "middle")
    write(svg, (frame.left + frame.right) / 2, frame.bottom + 40, name, "middle")


def write(
    svg: Element, h: float, v: float, text: str, anchor: str, style: str | None = None
) -> None:
    """Text at a place."""
    place = {"x": f"{h:.1f}", "y": f"{v:.1f}", "text-anchor": anchor}
    SubElement(svg, "text", place | ({"class": style} if style else {})).text = text


def dot(parent: Element, h: float, v: float, said: str, *, radius: float) -> None:
    """A dot that says its value where the pointer is."""
    circle = SubElement(parent, "circle", {"cx": f"{h:.1f}", "cy": f"{v:.1f}", "r": f"{radius:g}"})
    SubElement(circle, "title").text = said


def label(svg: Element, text: str, h: float, v: float, frame: Frame, taken: list[Box]) -> None:
    """Write beside a point where nothing else stands; else where least does.

    Args:
        taken: what stands already; the text is added.
    """
    width = CHAR * len(text)

    def hidden(box: Box) -> float:
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
    write(svg, best[0], best[3] - 3, text, "start", "label")
