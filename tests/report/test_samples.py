"""Samples of retrieval: the pictures that a caption finds, in the order of float64 cosines."""

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.data.pairs import Pair
from zoo.report.samples import samples


@pytest.fixture
def pairs(tmp_path):
    made = []
    for number in range(40):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
        made.append(Pair(path, (f"number {number}", "another"), str(number)))
    return made


def test_what_is_found_is_nearest(pairs):
    generator = torch.Generator().manual_seed(2)
    texts = torch.randn(40, 6, generator=generator)
    images = texts + 0.9 * torch.randn(40, 6, generator=generator)
    rows = [each.double().numpy() for each in (images, texts)]
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in rows]
    cosines = unit[1] @ unit[0].T
    own = np.diag(cosines)
    ranks = 1 + (cosines > own[:, None]).sum(1)
    assert 4 < (ranks == 1).sum() < 36

    shown = samples(pairs, images, texts, torch.from_numpy(ranks), count=4, nearest=5)
    assert [each.rank == 1 for each in shown] == [True] * 4 + [False] * 4
    assert len({each.caption for each in shown}) == 8
    for each in shown:
        row = int(each.caption.removeprefix("number "))
        assert each.rank == ranks[row]
        expected = np.argsort(-cosines[row])[:5].tolist()
        expected += [] if row in expected else [row]
        assert [found.caption for found in each.found] == [f"number {n}" for n in expected]
        assert [found.cosine for found in each.found] == pytest.approx(cosines[row, expected])
        assert [found.right for found in each.found] == [n == row for n in expected]
        assert [found.rank for found in each.found][:5] == [1, 2, 3, 4, 5]
        assert each.found[-1].rank == (ranks[row] if len(expected) == 6 else 5)


def test_no_misses(pairs):
    eye = torch.eye(40)
    shown = samples(pairs, eye, eye, torch.ones(40, dtype=torch.long), count=3)
    assert [each.rank for each in shown] == [1, 1, 1]
    assert [each.caption for each in shown] == ["number 6", "number 20", "number 33"]
