"""Axes: ticks are round, hold every value and are named so that a reader can tell them apart."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import DataError
from zoo.report.axes import axis, readable

VALUES = st.lists(st.floats(-1e9, 1e9, allow_subnormal=False), min_size=1, max_size=6)
POSITIVE = st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=6)


@given(VALUES)
def test_every_value_lies_on_a_linear_axis(values):
    made = axis(values)
    assert all(-1e-9 <= made.share(each) <= 1 + 1e-9 for each in values)
    assert 2 <= len(made.ticks) <= 9


@given(POSITIVE)
def test_every_value_lies_on_a_logarithmic_axis(values):
    made = axis(values, "log")
    assert all(-1e-9 <= made.share(each) <= 1 + 1e-9 for each in values)
    assert 2 <= len(made.ticks) <= 9
    for tick in made.ticks:
        assert tick / 10 ** math.floor(math.log10(tick) + 1e-9) == pytest.approx(
            min(
                (1, 2, 3, 5),
                key=lambda part: abs(tick / 10 ** math.floor(math.log10(tick) + 1e-9) - part),
            )
        )


@given(VALUES)
def test_labels_tell_ticks_apart(values):
    if max(values) - min(values) > 1e-3 * max(map(abs, values)):
        labels = axis(values).labels
        assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    ("values", "scale", "labels"),
    [
        ([0, 9.3], "linear", ("0", "2", "4", "6", "8", "10")),
        ([0.1234, 0.129], "linear", ("0.122", "0.124", "0.126", "0.128", "0.130")),
        ([3, 3000], "linear", ("0", "1,000", "2,000", "3,000")),
        ([0, 4e5], "linear", ("0", "100k", "200k", "300k", "400k")),
        ([2e-5, 9e-5], "linear", ("2e-5", "4e-5", "6e-5", "8e-5", "0.0001")),
        ([0.0, 1.0], "percent", ("0%", "20%", "40%", "60%", "80%", "100%")),
        ([0.31, 0.325], "percent", ("31.0%", "31.5%", "32.0%", "32.5%")),
        ([0.0, 0.0], "percent", ("0%", "10%", "20%", "30%", "40%", "50%")),
        ([0.17, 4], "log", ("0.1", "0.2", "0.5", "1", "2", "5")),
        ([1e6, 8.8e7], "log", ("1M", "2M", "5M", "10M", "20M", "50M", "100M")),
        ([7], "log", ("5", "10")),
    ],
)
def test_labels(values, scale, labels):
    assert axis(values, scale).labels == labels


def test_shares():
    assert axis([0, 10]).share(2.5) == 0.25
    assert axis([1, 100], "log").share(10) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0"), (0.20431, "0.2043"), (6.168e-8, "6.168e-8"), (1234.5, "1,234"), (25.6e6, "25.6M")],
)
def test_numbers(value, written):
    assert readable(value) == written


def test_what_cannot_be_drawn():
    with pytest.raises(DataError, match="a chart takes at least one point"):
        axis([])
    with pytest.raises(DataError, match="a chart takes finite values only"):
        axis([1.0, float("nan")])
    with pytest.raises(DataError, match="a logarithmic chart takes positive values only, not -1"):
        axis([3, -1], "log")
