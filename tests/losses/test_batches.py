"""Batches that a loss cannot take, and what it says."""

import inspect

import pytest
import torch

from zoo.errors import ArgumentError, LossError
from zoo.losses.batch import gather_batch
from zoo.losses.decoupled import DecoupledLoss
from zoo.losses.distillation import DistillationLoss
from zoo.losses.hard_negative import HardNegativeLoss
from zoo.losses.info_nce import InfoNCELoss

ROWS = torch.eye(4)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"image_embeds": ROWS[:3]}, "takes as many images as texts, and got 3 and 4"),
        (
            {"image_embeds": ROWS[:0], "text_embeds": ROWS[:0]},
            "takes at least one pair, and got none",
        ),
        (
            {"image_embeds": ROWS[:2], "first": 3},
            "images 3 to 4 are not all of a batch of 4 pairs",
        ),
        (
            {"image_ids": torch.arange(3)},
            r"image_ids is torch.int64 of shape \(3,\), and has to be one whole number for each of 4",
        ),
        ({"text_ids": torch.ones(4)}, r"text_ids is torch.float32 of shape \(4,\), and has to be"),
    ],
)
def test_rows_that_do_not_fit(given, said):
    with pytest.raises(LossError, match=said):
        gather_batch(**{"image_embeds": ROWS, "text_embeds": ROWS, **given})


@pytest.mark.parametrize(
    ("loss", "name"), [(DecoupledLoss(), "decoupled"), (HardNegativeLoss(), "hard-negative")]
)
def test_pairs_without_a_negative(loss, name):
    with pytest.raises(
        LossError, match=f"the loss '{name}' takes a negative for each pair, and pair 0 has none"
    ):
        loss(ROWS[:1], ROWS[:1])
    ids = torch.tensor([0, 0, 0, 1]), torch.tensor([3, 4, 5, 5])
    with pytest.raises(LossError, match="pair 2 has none among 4: more pairs, or fewer with one"):
        loss(ROWS, ROWS, *ids)


def test_a_loss_that_is_no_sum_over_images():
    loss = InfoNCELoss()
    assert not loss.sums_over_images
    with pytest.raises(LossError, match="only_image_to_text = true leaves that half out"):
        loss.over_images(ROWS[:2], ROWS, 0)


def test_distillation_without_a_teacher():
    loss = DistillationLoss()
    for given in ({}, {"teacher_image_embeds": ROWS}):
        with pytest.raises(
            LossError, match="takes teacher_image_embeds and teacher_text_embeds, the teacher's"
        ):
            loss(ROWS, ROWS, **given)
    unchecked = inspect.unwrap(DistillationLoss.forward)
    with pytest.raises(LossError, match="teacher_text_embeds has 3 rows for 4 pairs"):
        unchecked(loss, ROWS, ROWS, teacher_image_embeds=ROWS, teacher_text_embeds=ROWS[:3])


@pytest.mark.parametrize("kind", [DecoupledLoss, HardNegativeLoss, DistillationLoss])
def test_a_temperature_beyond_the_bound(kind):
    with pytest.raises(
        ArgumentError, match=r"takes a temperature of at least 1 / max_scale = 0\.01"
    ):
        kind(temperature=0.001)
