"""Plain lines of progress: soon at first, then less and less often."""

import itertools

import pytest

from zoo.cli import progress
from zoo.cli.display import Display
from zoo.cli.progress import Pace, progress_bars
from zoo.clip import CLIP
from zoo.recipe import Recipe
from zoo.training.observer import Start


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when told to."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_lines_become_rarer(clock):
    pace, told = Pace(first=5.0, most=600.0), []
    for second in range(4 * 3600):
        clock.now = 100.0 + second
        if pace.due():
            told.append(second)
    gaps = [after - before for before, after in itertools.pairwise(told)]
    assert told[:4] == [5, 10, 15, 20]
    assert gaps == sorted(gaps)
    assert max(gaps) == 600
    assert len(told) < 60


def test_long_work_without_a_terminal(clock, capsys):
    with progress_bars() as (_, tell):
        for done in range(1, 21):
            clock.now += 1
            tell("image features", done, 20)
    assert capsys.readouterr().err.splitlines() == [
        "image features  6/20",
        "image features  11/20",
        "image features  16/20",
    ]


@pytest.mark.parametrize(
    ("used", "said"),
    [
        (512, []),
        (
            300,
            [
                "batch   300 pairs a step: train.batch_size is 512, and there are no more concepts to "
                "draw"
            ],
        ),
    ],
)
def test_a_batch_that_is_smaller_than_asked(capsys, used, said):
    recipe = Recipe(batch_size=512).filled(heads_only=True)
    with progress_bars() as (bars, _):
        Display(bars, "validation").on_start(Start(CLIP(None, None), recipe, 10, 1, used))
    assert capsys.readouterr().err.splitlines() == said
