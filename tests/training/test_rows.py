"""Rows gathered from several blocks, against plain indexing; and what that takes of memory and time."""

import sys
import time

import numpy as np
import pytest
import torch

from zoo.training.rows import Features
from zoo.training.store import Store


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (1,)])
def test_against_indexing(dtype, shape):
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn(40, *shape, generator=generator).to(dtype)
    order = torch.randperm(40, generator=generator).tolist()
    places = [(0, i) if i < 7 else (1, i - 7) if i < 30 else (2, i - 30) for i in order]
    found = Features([whole[:7], whole[7:30], whole[30:]], places)
    expected = whole.double().numpy()[order]
    assert found.shape == (40, *shape)
    assert len(found) == 40
    assert found.nbytes == whole.nbytes
    for asked in ([3, 3, 0, 39], [], list(range(40)), torch.tensor([38, 1])):
        rows = found[asked]
        assert rows.dtype == torch.float32
        assert np.array_equal(rows.double().numpy(), expected[np.asarray(asked, dtype=int)])
    assert np.array_equal(found.tensor().double().numpy(), expected)


@pytest.mark.parametrize("asked", [[3], [-1], [0, 99]])
def test_rows_that_are_not_there(asked):
    with pytest.raises(IndexError, match=r"there are 3 rows, and .* asks for others"):
        Features([torch.zeros(3, 2)], [(0, 0), (0, 1), (0, 2)])[asked]


@pytest.mark.parametrize("asked", [[True, False], [0.9], 1, [[0, 1]]])
def test_what_is_no_list_of_numbers(asked):
    with pytest.raises(TypeError, match=r"by a list of whole numbers, not by .*; of a mask, give"):
        Features([torch.zeros(3, 2)], [(0, 0), (0, 1), (0, 2)])[torch.tensor(asked)]


def test_rows_handed_out_are_their_own():
    block = torch.zeros(3, 2)
    found = Features([block], [(0, 0), (0, 1)])
    found[[0, 1]].add_(1)
    assert torch.equal(block, torch.zeros(3, 2))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_they_are_not_held_in_memory():
    """100 MB of rows in files; a batch of them takes what the batch takes."""
    keys = [number.to_bytes(32, "big") for number in range(20_000)]
    store = Store({"what": "much"}, keys)
    block = torch.ones(4000, 1280, dtype=torch.float32)
    for start in range(0, len(keys), 4000):
        store.add(keys[start : start + 4000], block)
    found = store.features()
    assert found.nbytes == 20_000 * 1280 * 4

    def anonymous():
        with open("/proc/self/status") as status:
            lines = dict(line.split(":", 1) for line in status)
        return int(lines["RssAnon"].split()[0]) * 1024

    before = anonymous()
    for start in range(0, 20_000, 997):
        found[[start, 19_999 - start]]
    assert anonymous() - before < 10e6


@pytest.mark.long
def test_speed():
    """Far below what it does (half a million rows a second and more), for machines that are busy."""
    block = torch.zeros(20_000, 1280, dtype=torch.bfloat16)
    found = Features([block, block], [(n % 2, n // 2) for n in range(40_000)])
    asked = torch.randint(0, 40_000, (50, 512), generator=torch.Generator().manual_seed(0))
    best = float("inf")
    for rows in asked:
        start = time.process_time()
        found[rows]
        best = min(best, time.process_time() - start)
    assert 512 / best > 100_000
