"""Batches that a loss cannot take, and what it says."""

import inspect
import math
import re

import pytest
import torch

from zoo.errors import ArgumentError, LossError
from zoo.losses.batch import gather_batch
from zoo.losses.decoupled import DecoupledLoss
from zoo.losses.distillation import DistillationLoss
from zoo.losses.hard_negative import HardNegativeLoss
from zoo.losses.info_nce import InfoNCELoss
from zoo.losses.siglip import SigLIPLoss

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
        ({"text_ids": [0, 1, 2, 3]}, "text_ids is a list, and has to be a tensor"),
        (
            {"text_embeds": ROWS[:, :3]},
            "image_embeds has 4 dimensions and text_embeds 3; heads of one embedding_dim bring both to",
        ),
        (
            {"image_embeds": ROWS[0]},
            r"image_embeds has the shape \(4,\), and a loss takes a row for each pair: \(pairs, dim",
        ),
    ],
)
def test_batches_that_do_not_fit(given, said):
    unchecked = inspect.unwrap(gather_batch)
    with pytest.raises(LossError, match=said):
        unchecked(**{"image_embeds": ROWS, "text_embeds": ROWS, **given})


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


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        (InfoNCELoss, {"label_smoothing": 1.5}, "input should be less than 1"),
        (InfoNCELoss, {"label_smoothing": math.nan}, "input should be"),
        (InfoNCELoss, {"max_scale": -5.0}, "input should be greater than 0"),
        (SigLIPLoss, {"temperature": 0.0}, "input should be greater than 0"),
        (SigLIPLoss, {"bias": math.inf}, "input should be a finite number"),
        (DecoupledLoss, {"temperature": -0.1}, "input should be greater than 0"),
        (HardNegativeLoss, {"beta": -2.0}, "input should be greater than or equal to 0"),
        (HardNegativeLoss, {"tau_plus": 1.0}, "input should be less than 1"),
        (DistillationLoss, {"weight": 5.0}, "input should be less than or equal to 1"),
        (DistillationLoss, {"teacher_temperature": 0.0}, "input should be greater than 0"),
    ],
)
def test_arguments_out_of_their_range(kind, given, said):
    """In code as in a spec."""
    ((name, value),) = given.items()
    with pytest.raises(
        ArgumentError, match=re.escape(f"{kind.__name__}({name}={value!r}): {said}")
    ):
        kind(**given)


@pytest.mark.parametrize("kind", [DecoupledLoss, HardNegativeLoss, DistillationLoss])
def test_a_temperature_beyond_the_bound(kind):
    with pytest.raises(
        ArgumentError, match=r"takes a temperature of at least 1 / max_scale = 0\.01"
    ):
        kind(temperature=0.001)
