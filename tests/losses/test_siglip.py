"""SigLIP's loss against a peer, and as it starts."""

import math

import pytest
import torch
import torch.nn.functional as F

from zoo.losses.siglip import SigLIPLoss


def batch(count, dim=16):
    random = torch.Generator().manual_seed(0)
    return [
        F.normalize(torch.randn(count, dim, generator=random), dim=-1).requires_grad_()
        for _ in range(2)
    ]


def test_it_starts_as_published():
    loss = SigLIPLoss()
    assert loss.logit_scale.item() == pytest.approx(math.log(10))
    assert loss.logit_bias.item() == -10
    assert loss.temperature == pytest.approx(0.1)
    assert all(each.requires_grad for each in loss.parameters())
    assert not any(each.requires_grad for each in SigLIPLoss(learnable=False).parameters())


def test_against_open_clip():
    from open_clip.loss import SigLipLoss

    images, texts = batch(33)
    loss = SigLIPLoss()
    ours = loss(images, texts)
    theirs = SigLipLoss()(images, texts, loss.logit_scale.exp(), loss.logit_bias)
    torch.testing.assert_close(ours, theirs)
    leaves = (images, texts, loss.logit_scale, loss.logit_bias)
    for mine, other in zip(
        torch.autograd.grad(ours, leaves), torch.autograd.grad(theirs, leaves), strict=True
    ):
        torch.testing.assert_close(mine, other)


def test_pairs_that_are_met_well_keep_their_small_gradients():
    """Near the label the derivative is of the order of 1e-9, which 1 - 0.999999999 would lose."""
    images = batch(1)[0]
    loss = SigLIPLoss(temperature=0.05, bias=0.0)
    loss(images, images.detach()).backward()
    assert loss.logit_bias.grad.item() == pytest.approx(-1 / (1 + math.exp(20)), rel=1e-4)


@pytest.mark.parametrize("count", [64, 1024])
def test_the_bias_at_which_random_embeddings_cost_least(count):
    """Nearly that of one positive among all: `-log(count - 1)`, as the docstring says."""
    random = torch.Generator().manual_seed(1)
    images, texts = (
        F.normalize(torch.randn(count, 4096, generator=random), dim=-1) for _ in range(2)
    )
    least = -math.log(count - 1)
    gradients = {}
    for bias in (-10.0, least, 0.0):
        loss = SigLIPLoss(bias=bias)
        loss(images, texts).backward()
        gradients[bias] = loss.logit_bias.grad.item()
    assert gradients[-10.0] < -0.5
    assert gradients[0.0] > 0.5
    assert abs(gradients[least]) < 0.02
