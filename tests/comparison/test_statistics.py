"""Tests and intervals against independent computations in NumPy and SciPy; and p values under the null."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import stats

from zoo.comparison.statistics import DRAWS, difference, holm, mean, sign_flip_p
from zoo.evaluation.bootstrap import Resampling


def thirds(count, seed):
    """Differences of two means over three seeds, exactly."""
    drawn = np.random.default_rng(seed).integers(-3, 4, count)
    return [Fraction(int(each), 3) for each in drawn]


@pytest.mark.parametrize("seed", range(5))
def test_few_concepts_are_gone_through_exactly(seed):
    values = thirds(11, seed)
    sums = [
        abs(sum(sign * each for sign, each in zip(signs, values, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]
    expected = Fraction(sum(each >= abs(sum(values)) for each in sums), len(sums))
    for kind in (torch.float64, torch.float32):
        found = sign_flip_p(torch.tensor([float(each) for each in values], dtype=kind))
        assert found == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_many_concepts_as_scipy_has_it(seed):
    values = np.array([float(each) for each in thirds(150, seed)]) + 0.06
    theirs = stats.permutation_test(
        (values,), np.sum, permutation_type="samples", n_resamples=40_000, rng=seed
    )
    ours = sign_flip_p(torch.tensor(values), draws=40_000)
    assert ours == pytest.approx(theirs.pvalue, abs=4 * (0.25 / 40_000) ** 0.5 * 2**0.5)


def test_of_one_seed_it_is_the_exact_test_of_mcnemar():
    """Hits and misses: only concepts that one of the two finds count, as tosses of a coin."""
    one = torch.tensor([1.0] * 9 + [0.0] * 3 + [1.0] * 40)
    other = torch.tensor([0.0] * 9 + [1.0] * 3 + [1.0] * 40)
    assert sign_flip_p(one - other) == pytest.approx(stats.binomtest(3, 12).pvalue, abs=1e-12)


def test_no_difference_at_all():
    assert sign_flip_p(torch.zeros(5)) == 1.0
    assert sign_flip_p(torch.zeros(0)) == 1.0
    assert sign_flip_p(torch.tensor([0.5])) == 1.0


def test_the_smallest_value_is_that_of_the_draws():
    assert sign_flip_p(torch.ones(200)) == 1 / (DRAWS + 1)
    assert sign_flip_p(torch.ones(10)) == 2 / 2**10


def test_under_the_null_p_is_uniform():
    """Two models of the same recipe, three seeds each: concepts differ in how hard they are."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(800):
        hard = random.beta(0.6, 1.2, 150)
        one, other = (random.random((3, 150)) < hard for _ in range(2))
        values = torch.tensor(one.mean(0) - other.mean(0))
        found.append(sign_flip_p(values, draws=499, seed=len(found)))
    found = np.array(found)
    for level in (0.05, 0.1, 0.2, 0.5, 0.8):
        spread = (level * (1 - level) / len(found)) ** 0.5
        assert abs((found <= level).mean() - level) < 4 * spread, level


def test_it_finds_what_is_there():
    random = np.random.default_rng(1)
    one = (random.random((3, 400)) < 0.35).mean(0)
    other = (random.random((3, 400)) < 0.25).mean(0)
    assert sign_flip_p(torch.tensor(one - other)) < 0.001


def test_holm_by_its_definition():
    random = np.random.default_rng(2)
    values = list(random.random(7) ** 3)
    order = sorted(range(7), key=values.__getitem__)
    expected = [0.0] * 7
    for place, index in enumerate(order):
        steps = [(7 - before) * values[order[before]] for before in range(place + 1)]
        expected[index] = min(1.0, max(steps))
    assert holm(values) == pytest.approx(expected)
    assert holm([]) == []
    assert holm([0.01, 0.02, 0.03]) == pytest.approx([0.03, 0.04, 0.04])


def test_the_interval_is_that_of_a_bootstrap_by_hand():
    random = np.random.default_rng(3)
    one, other = random.random((3, 40)), random.random((2, 40))
    drawn = []
    for _ in range(20_000):
        concepts = random.integers(40, size=40)
        ours, theirs = random.integers(3, size=3), random.integers(2, size=2)
        drawn.append(one[ours][:, concepts].mean() - other[theirs][:, concepts].mean())
    low, high = np.quantile(drawn, [0.05, 0.95])
    found = difference([torch.tensor(one)], [torch.tensor(other)], Resampling(20_000, 0.9))
    assert found.value == pytest.approx(one.mean() - other.mean())
    assert found.low == pytest.approx(low, abs=0.004)
    assert found.high == pytest.approx(high, abs=0.004)


def test_of_several_models_each_draws_seeds_of_its_own():
    random = np.random.default_rng(4)
    models = [random.random((seeds, 40)) + random.random((seeds, 1)) for seeds in (3, 2, 3, 4)]
    drawn = []
    for _ in range(5_000):
        concepts = random.integers(40, size=40)
        seeds = [random.integers(len(each), size=len(each)) for each in models]
        means = [each[rows][:, concepts].mean() for each, rows in zip(models, seeds, strict=True)]
        drawn.append((means[0] + means[1]) / 2 - (means[2] + means[3]) / 2)
    low, high = np.quantile(drawn, [0.05, 0.95])
    ours, theirs = ([torch.tensor(each) for each in some] for some in (models[:2], models[2:]))
    found = difference(ours, theirs, Resampling(20_000, 0.9))
    assert found.value == pytest.approx(
        (models[0].mean() + models[1].mean() - models[2].mean() - models[3].mean()) / 2
    )
    assert found.low == pytest.approx(low, abs=0.02)
    assert found.high == pytest.approx(high, abs=0.02)


def test_the_interval_of_a_mean_and_where_there_is_none():
    values = torch.tensor([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0]])
    found = mean(values)
    assert found.value == 0.625
    assert 0 <= found.low < 0.625 < found.high <= 1
    one = mean(torch.tensor([[1.0], [0.0]]))
    assert (one.value, one.low, one.high) == (0.5, None, None)
    same = difference([values], [values])
    assert same.value == 0.0
