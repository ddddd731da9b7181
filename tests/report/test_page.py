"""Pages: one file, nothing asked of a network, no wider than a phone."""

import base64
import io
from html.parser import HTMLParser

import pytest
from PIL import Image

from browser import BROWSER, content_width, screenshot
from zoo.errors import DataError
from zoo.report.page import Section, charts, code, facts, notes, page, table, thumbnail
from zoo.report.plots import Bar, Line, Point, interval_chart, line_chart, scatter_chart

BAD = '<img src=x onerror=alert(1)>&"'


class Reader(HTMLParser):
    """The tags that are open, and every attribute with its tag."""

    VOID = ("meta", "img", "br", "hr", "input", "link")

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def read(text):
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def everything(word):
    """A page of all there is, with a word wherever text can be."""
    lines = [Line(word, [(0, 1), (2_000_000, 0.01)]), Line("other", [(0, 2), (3, 1)])]
    points = [
        Point(f"{word} {number}", 10.0**number, number / 9, number / 10, number / 8)
        for number in range(3, 9)
    ]
    row = [word, "12.5%", 3, "a remark of some words", *("1,234 pairs/s",) * 6]
    sections = [
        Section("Curves " + word, [charts([line_chart("Loss", lines, x=word)] * 5)]),
        Section(
            "Models",
            [
                scatter_chart("All", points, x="parameters", y="recall", x_scale="log"),
                interval_chart("Recall", [Bar(word, 0.5, 0.4, 0.7, "ours")], x="recall"),
                table([word, "recall", "count", "remark", *"abcdef"], [row, row], caption=word),
            ],
        ),
        Section(
            "Run",
            [
                word,
                notes([(word, word)]),
                notes([(word, word)], kind="error"),
                facts({word: word, "threads": 2}),
                code(word, f"{word}\n" + "x" * 300),
            ],
        ),
    ]
    return page(word, sections, lead=word, footer=word)


def test_all_text_is_escaped():
    reader = read(everything(BAD))
    assert "img" not in reader.tags
    assert "script" not in reader.tags
    assert not [name for _, name, _ in reader.attributes if name.startswith("on")]
    assert sum(BAD in text for text in reader.texts) > 20


def test_nothing_is_asked_of_a_network():
    text = everything("plain")
    reader = read(text)
    linked = [each for each in reader.attributes if each[1] in ("src", "href", "srcset", "data")]
    assert linked == []
    assert {"link", "script", "iframe", "object"}.isdisjoint(reader.tags)
    assert "url(" not in text
    assert "@import" not in text
    assert "http" not in text.replace("http-equiv", "")
    assert ("meta", "content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in (
        reader.attributes
    )


def test_numbers_are_set_as_numbers():
    made = table(["model", "recall", "note"], [["a", "12.5%", "good"], ["b", 3, "bad"]])
    assert '<th scope="col" class="number">recall</th>' in made
    assert '<td class="number">12.5%</td>' in made
    assert "<td>good</td>" in made
    assert '<th scope="row">b</th>' in made


def test_a_thumbnail_is_a_picture(tmp_path):
    Image.new("RGB", (400, 200), (250, 10, 20)).save(tmp_path / "wide.png")
    uri = thumbnail(tmp_path / "wide.png", 100)
    kind, data = uri.split(",")
    assert kind == "data:image/webp;base64"
    small = Image.open(io.BytesIO(base64.b64decode(data)))
    assert small.size == (100, 50)
    assert small.convert("RGB").getpixel((50, 25)) == pytest.approx((250, 10, 20), abs=6)
    (tmp_path / "none.png").write_text("no picture")
    with pytest.raises(DataError, match=r"none.png: not a whole picture"):
        thumbnail(tmp_path / "none.png")


@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
def test_no_window_is_too_narrow(tmp_path):
    text = everything("resnet50-clip")
    assert content_width(text, 390) == (390, [])
    assert content_width(text, 1280) == (1280, [])
    assert content_width(text.replace("<h1>", "<h1 style='width:500px'>"), 390)[0] > 390


@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
def test_light_and_dark(tmp_path):
    source = tmp_path / "page.html"
    source.write_text(everything("resnet50-clip"), "utf-8")

    def corner(dark):
        screenshot(source, tmp_path / "page.png", 600, 400, dark=dark)
        return sum(Image.open(tmp_path / "page.png").convert("RGB").getpixel((2, 2)))

    assert corner(dark=False) == 3 * 255
    assert corner(dark=True) < 100
