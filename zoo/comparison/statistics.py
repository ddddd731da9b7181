"""Whether one model is better than another: paired tests over concepts, and what many tests cost."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from zoo.evaluation.bootstrap import Estimate, Resampling

__all__ = ["DRAWS", "difference", "holm", "mean", "sign_flip_p"]

DRAWS = 9_999
"""Random assignments of signs, where there are too many to go through all."""
_BLOCK = 1 << 22


def sign_flip_p(
    differences: Float[Tensor, " units"], *, draws: int = DRAWS, seed: int = 0
) -> float:
    """The two-sided p value of a paired permutation test.

    If neither of two models is better, which of them gave which result of a concept is chance, so
    that each difference is as likely with the other sign. The value is the share of assignments of
    signs whose sum is as far from zero as the one found: exact where `draws` suffice for all
    assignments, else of random ones, with the one found among them.

    Args:
        differences: of the two models, for each concept.

    Source: Fisher 1935; the random version Phipson & Smyth 2010.
    """
    some = differences.double()
    some = some[some != 0]
    if not len(some):
        return 1.0
    rounding = 64 * torch.finfo(differences.dtype).eps * some.abs().sum()
    found = (
        some.sum().abs() - rounding
    )  # what is as far by arithmetic must not be nearer by rounding
    if 2 ** len(some) <= draws + 1:
        places = torch.arange(len(some))
        signs = (torch.arange(2 ** len(some))[:, None] >> places & 1).double() * 2 - 1
        return (signs.mv(some).abs() >= found).double().mean().item()
    generator = torch.Generator().manual_seed(seed)
    step = max(1, _BLOCK // len(some))
    as_far = 0
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        flips = torch.randint(2, (rows, len(some)), generator=generator)
        sums = (flips.double() * 2 - 1).mv(some)
        as_far += int((sums.abs() >= found).sum())
    return (as_far + 1) / (draws + 1)


def difference(
    ones: Sequence[Float[Tensor, "_seeds units"]],
    others: Sequence[Float[Tensor, "_seeds units"]],
    resampling: Resampling | None = None,
) -> Estimate:
    """The mean of some models less that of others, with a bootstrap interval over concepts and seeds.

    Concepts are drawn for all alike, seeds for each model by themselves; which models there are is
    not drawn.
    """
    shares = [1 / len(ones)] * len(ones) + [-1 / len(others)] * len(others)
    return _bootstrap([*ones, *others], shares, resampling or Resampling())


def mean(values: Float[Tensor, "seeds units"], resampling: Resampling | None = None) -> Estimate:
    """The mean over seeds and concepts, with a bootstrap interval over both."""
    return _bootstrap([values], [1.0], resampling or Resampling())


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for their number: any false alarm among all is as rare as a level says.

    Source: Holm 1979.
    """
    corrected = [1.0] * len(values)
    highest = 0.0
    for place, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - place) * values[index]))
        corrected[index] = highest
    return corrected


def _bootstrap(models: Sequence[Tensor], shares: Sequence[float], how: Resampling) -> Estimate:
    """A sum of shares of means of `(seeds, units)`; of a single concept there is no interval."""
    doubles = [each.double() for each in models]
    value = sum(share * each.mean().item() for share, each in zip(shares, doubles, strict=True))
    units = doubles[0].shape[1]
    if units < 2:
        return Estimate(value, None, None)
    generator = torch.Generator().manual_seed(how.seed)
    drawn = []
    step = max(1, _BLOCK // units)
    for start in range(0, how.draws, step):
        rows = min(step, how.draws - start)
        concepts = _shares(rows, units, generator)
        total = torch.zeros(rows, dtype=torch.float64)
        for share, each in zip(shares, doubles, strict=True):
            seeds = _shares(rows, len(each), generator)
            total += share * (concepts @ each.T * seeds).sum(1)
        drawn.append(total)
    ends = torch.tensor([(1 - how.level) / 2, (1 + how.level) / 2], dtype=torch.float64)
    low, high = torch.cat(drawn).quantile(ends).tolist()
    return Estimate(value, low, high)


def _shares(draws: int, count: int, generator: torch.Generator) -> Tensor:
    """How often each of `count` is drawn in as many draws with replacement, as shares; a row a draw."""
    indices = torch.randint(count, (draws, count), generator=generator)
    indices += torch.arange(draws)[:, None] * count
    counts = torch.bincount(indices.flatten(), minlength=draws * count)
    return counts.view(draws, count).double() / count
