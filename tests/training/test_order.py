"""Which pairs each step draws: everything once an epoch, and the same whenever it is asked."""

import pytest

from zoo.errors import DataError
from zoo.training.order import Order


def order_of(pairs, **given):
    return Order(pairs, **{"sampling": "pair", "batch_size": 4, "seed": 0, **given})


def test_an_epoch_has_every_pair_once(pairs):
    order = order_of(pairs)
    assert order.steps_per_epoch == 3
    epochs = [
        [index for step in range(3 * number, 3 * number + 3) for index in order.step(step).pairs]
        for number in range(2)
    ]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(12))
    assert epochs[0] != epochs[1]


def test_a_step_depends_on_nothing_before_it(pairs):
    walked, asked = order_of(pairs), order_of(pairs)
    steps = [walked.step(number) for number in range(9)]
    for number in (8, 1, 5):
        step = asked.step(number)
        for part in ("pairs", "captions", "seeds"):
            assert (getattr(step, part) == getattr(steps[number], part)).all()
    assert (order_of(pairs, seed=1).epoch(0).pairs != walked.epoch(0).pairs).any()


def test_concepts_do_not_meet_themselves(pairs):
    order = order_of(pairs, sampling="concept")
    assert order.steps_per_epoch == 1
    drawn = set()
    for number in range(40):
        step = order.step(number)
        assert len({pairs[index].concept for index in step.pairs}) == 4
        drawn |= set(zip(step.pairs.tolist(), step.captions.tolist(), strict=True))
    assert len(drawn) == 24  # every picture, with both of its captions


def test_a_batch_larger_than_the_split(pairs):
    assert order_of(pairs, batch_size=500).batch_size == 12
    with pytest.raises(DataError, match="contrasts pictures with one another, and the split has 1"):
        order_of(pairs[:1])
