"""Charts: every point lies where its value says, in a drawing that names what it shows."""

import re
from xml.etree import ElementTree

import pytest

from zoo.errors import DataError
from zoo.report.plots import Bar, Line, Point, interval_chart, line_chart, scatter_chart


def drawings(chart):
    return [ElementTree.fromstring(each) for each in re.findall(r"<svg.*?</svg>", chart, re.DOTALL)]


def ticks(svg, labels):
    """Where the grid line of each label runs, by the text that stands beside it."""
    texts = {each.text: each for each in svg.iter("text")}
    return {label: (float(texts[label].get("x")), float(texts[label].get("y"))) for label in labels}


def dots(svg):
    return {
        each.find("title").text: (float(each.get("cx")), float(each.get("cy")))
        for each in svg.iter("circle")
    }


def test_points_of_a_line_lie_where_the_ticks_say():
    chart = line_chart("Loss", [Line("training", [(0, 4.0), (40, 1.0), (100, 0.0)])], x="step")
    (svg,) = drawings(chart)
    found = ticks(svg, ["0", "1", "4", "40", "100"])
    first, middle, last = dots(svg).values()
    assert first[1] == pytest.approx(found["4"][1] - 4.5, abs=0.1)
    assert middle == pytest.approx((found["40"][0], found["1"][1] - 4.5), abs=0.1)
    assert last[0] == pytest.approx(found["100"][0], abs=0.1)
    assert first[0] < middle[0] < last[0]
    path = next(each.get("d") for each in svg.iter("path") if each.get("class") == "line")
    drawn = [tuple(map(float, each.split())) for each in path[1:].split("L")]
    assert drawn == [pytest.approx(each, abs=0.06) for each in (first, middle, last)]


def test_a_drawing_says_what_it_shows():
    chart = line_chart("Loss", [Line("training", [(1, 4.0), (100, 0.25)])], x="step")
    (svg,) = drawings(chart)
    assert svg.get("role") == "img"
    assert svg[0].tag == "title"
    assert svg[0].text == "Loss"
    assert svg[1].tag == "desc"
    assert svg[1].text == "Over step: training from 4 to 0.25."
    assert "training <b>0.25</b>" in chart


def test_a_long_line_keeps_its_peaks():
    points = [(step, 100.0 if step == 7777 else 1.0 + step % 3) for step in range(20_000)]
    (svg,) = drawings(line_chart("Loss", [Line("training", points)], x="step"))
    path = next(each.get("d") for each in svg.iter("path") if each.get("class") == "line")
    drawn = [tuple(map(float, each.split())) for each in path[1:].split("L")]
    assert len(drawn) <= 600
    assert min(v for _, v in drawn) == pytest.approx(ticks(svg, ["100"])["100"][1] - 4.5, abs=0.1)
    assert [h for h, _ in drawn] == sorted(h for h, _ in drawn)
    assert not dots(svg)


POINTS = [
    Point("small", 1e6, 0.2, 0.15, 0.25, "ours"),
    Point("large", 1e8, 0.4, group="theirs"),
]


def test_a_scatter_is_drawn_for_wide_windows_and_for_narrow_ones():
    chart = scatter_chart(
        "All", POINTS, x="parameters", y="recall", x_scale="log", y_scale="percent"
    )
    wide, narrow = drawings(chart)
    assert (wide.get("class"), narrow.get("class")) == ("wide", "narrow")
    for svg in (wide, narrow):
        small, large = dots(svg).values()
        found = ticks(svg, ["1M", "10M", "20%", "40%"])
        assert small == pytest.approx((found["1M"][0], found["20%"][1] - 4.5), abs=0.1)
        assert large[1] == pytest.approx(found["40%"][1] - 4.5, abs=0.1)
        halfway = (small[0] + large[0]) / 2
        assert halfway == pytest.approx(found["10M"][0], abs=0.1)
        assert {"small", "large"} <= {each.text for each in svg.iter("text")}
    assert list(dots(wide)) == [
        "small: parameters 1M, recall 20.0% (15.0% to 25.0%)",
        "large: parameters 100M, recall 40.0%",
    ]
    assert wide[1].text == "recall against parameters: small at 20.0%; large at 40.0%."


def test_labels_of_points_that_crowd_do_not_cover_each_other():
    crowd = [Point(f"model-{number}", 5 + number / 50, 0.5 + number / 100) for number in range(6)]
    corners = [Point("first", 0, 0.0), Point("last one", 10, 1.0)]
    for svg in drawings(scatter_chart("All", crowd + corners, x="size", y="recall")):
        labels = [each for each in svg.iter("text") if each.get("class") == "label"]
        assert len(labels) == 8
        boxes = [
            (float(each.get("x")), float(each.get("y")), 7.0 * len(each.text)) for each in labels
        ]
        width = float(svg.get("viewBox").split()[2])
        for number, (h, v, wide) in enumerate(boxes):
            assert h >= 0
            assert h + wide <= width
            for other_h, other_v, other_wide in boxes[:number]:
                apart = abs(v - other_v) >= 12 or h + wide <= other_h or other_h + other_wide <= h
                assert apart, labels[number].text


def test_intervals_stand_in_rows():
    bars = [Bar("image to text", 0.3, 0.25, 0.4), Bar("text to image", 0.5)]
    wide, narrow = drawings(interval_chart("Recall", bars, x="recall", scale="percent"))
    for svg in (wide, narrow):
        first, second = dots(svg).values()
        found = ticks(svg, ["30%", "50%"])
        assert first[0] == pytest.approx(found["30%"][0], abs=0.1)
        assert second[0] == pytest.approx(found["50%"][0], abs=0.1)
        assert second[1] - first[1] == pytest.approx(30)
        bar = next(
            each.get("d")
            for each in svg.iter("path")
            if "H" in each.get("d") and not each.get("class")
        )
        low, _, high = re.fullmatch(r"M(\S+) (\S+)H(\S+)", bar).groups()
        step = (found["50%"][0] - found["30%"][0]) / 4  # of five hundredths
        assert float(low) == pytest.approx(first[0] - step, abs=0.1)
        assert float(high) == pytest.approx(first[0] + 2 * step, abs=0.1)
    assert wide[1].text == "recall: image to text 30.0% (25.0% to 40.0%); text to image 50.0%."


def test_names_are_text():
    bad = '<script>alert("x")</script>&'
    for chart in (
        line_chart(bad, [Line(bad, [(0, 1), (1, 2)])], x=bad),
        scatter_chart(bad, [Point(bad, 1, 2, group=bad)], x=bad, y=bad),
        interval_chart(bad, [Bar(bad, 1, group=bad)], x=bad),
    ):
        assert "<script" not in chart
        for svg in drawings(chart):
            assert svg[0].text == bad


def test_no_points():
    with pytest.raises(DataError, match="a chart takes at least one point"):
        line_chart("Loss", [Line("training", [])], x="step")
