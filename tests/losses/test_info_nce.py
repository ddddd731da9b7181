"""InfoNCE against published figures, an independent computation and a peer."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from zoo.errors import ArgumentError
from zoo.losses.info_nce import InfoNCELoss


def by_hand(images: np.ndarray, texts: np.ndarray, temperature: float, smoothing: float) -> float:
    """In float64, straight from the definition."""
    logits = images.astype(np.float64) @ texts.astype(np.float64).T / temperature
    count = len(logits)
    targets = np.full((count, count), smoothing / count) + (1 - smoothing) * np.eye(count)
    halves = []
    for scores in (logits, logits.T):
        shifted = scores - scores.max(1, keepdims=True)
        log_probs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        halves.append(-(targets * log_probs).sum(1).mean())
    return sum(halves) / 2


@pytest.mark.parametrize(("smoothing", "expected"), [(0.0, 9.8753), (0.1, 10.2524)])
def test_torchmultimodals_figure(smoothing, expected):
    torch.manual_seed(1234)
    images, texts = torch.randn(3, 5), torch.randn(3, 5)
    loss = InfoNCELoss(temperature=0.07, label_smoothing=smoothing)
    assert loss(images, texts).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("temperature", [0.01, 0.07, 1.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_against_numpy(temperature, smoothing):
    torch.manual_seed(0)
    images, texts = (F.normalize(torch.randn(17, 8), dim=-1) for _ in range(2))
    loss = InfoNCELoss(temperature=temperature, label_smoothing=smoothing)
    expected = by_hand(images.numpy(), texts.numpy(), temperature, smoothing)
    assert loss(images, texts).item() == pytest.approx(expected, rel=1e-5)


def test_against_open_clip():
    from open_clip import ClipLoss

    torch.manual_seed(0)
    images, texts = (F.normalize(torch.randn(16, 8), dim=-1).requires_grad_() for _ in range(2))
    loss = InfoNCELoss()
    ours = loss(images, texts)
    theirs = ClipLoss()(images, texts, loss.logit_scale.exp())
    torch.testing.assert_close(ours, theirs)
    grads = torch.autograd.grad(ours, (images, texts, loss.logit_scale))
    for mine, other in zip(
        grads, torch.autograd.grad(theirs, (images, texts, loss.logit_scale)), strict=True
    ):
        torch.testing.assert_close(mine, other)


def test_temperature_starts_as_published_and_is_bounded():
    loss = InfoNCELoss()
    assert loss.logit_scale.item() == pytest.approx(math.log(1 / 0.07))
    loss.logit_scale.data.fill_(10.0)
    assert loss.temperature == pytest.approx(0.01)


def test_a_fixed_temperature():
    assert not InfoNCELoss(learnable=False).logit_scale.requires_grad


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": 0.05, "max_scale": 10.0}, "takes a temperature of at least"),
        ({"temperature": 0.005}, "at least 1 / max_scale = 0.01, not 0.005"),
    ],
)
def test_arguments_out_of_range(options, said):
    with pytest.raises(ArgumentError, match=said):
        InfoNCELoss(**options)
