"""Processes that are killed, stopped, or run out of disk, and what they leave behind."""

import random

import pytest
from faults import Cell, battered, runs, whole


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with runs(tmp_path_factory.mktemp("faults")) as found:
        yield found


@pytest.mark.parametrize("cell", [Cell(), Cell(workers=2)], ids=str)
def test_killed_at_random_moments_and_resumed(made, cell):
    expected, seconds = whole(made, cell)
    outcome = battered(made, cell, 4, expected, seconds, random.Random(2))
    assert outcome.identical
    assert outcome.kills == 4
    assert outcome.in_checkpoint
