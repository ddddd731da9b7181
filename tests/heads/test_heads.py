"""The built-in heads: sizes, gradients, and their formulas."""

import pytest
import torch
import torch.nn.functional as F

import zoo
from zoo.heads.identity import IdentityHead
from zoo.heads.mlp_gelu import MLPHead
from zoo.heads.residual_mlp import ResidualMLPHead
from zoo.registry import catalog
from zoo.registry.resolve import resolve


def make(name: str, in_dim: int, out_dim: int):
    return resolve(catalog(), "projection_heads", name).load()(in_dim=in_dim, out_dim=out_dim)


@pytest.mark.parametrize("name", zoo.available("heads"))
def test_shape_and_gradients(name):
    out_dim = 6 if name in ("identity", "whiten") else 4
    head = make(name, 6, out_dim)
    embeds = head(torch.randn(3, 6, requires_grad=True))
    assert embeds.shape == (3, out_dim)
    embeds.pow(2).sum().backward()
    assert all(parameter.grad is not None for parameter in head.parameters())


def test_the_reference_head_has_the_references_size():
    head = make("mlp-gelu", 2048, 512)
    assert sum(p.numel() for p in head.parameters()) == 2048 * 2048 + 2048 + 2048 * 512 + 512


def test_normalised_input_does_not_see_its_own_length():
    head = MLPHead(in_dim=6, out_dim=4, normalize=True)
    features = torch.randn(3, 6)
    torch.testing.assert_close(head(features), head(7 * features))


def test_dropout_is_for_training_only():
    head = MLPHead(in_dim=6, out_dim=4, dropout=0.5, input_dropout=0.5)
    features = torch.randn(3, 6)
    assert not torch.equal(head(features), head(features))
    head.eval()
    torch.testing.assert_close(head(features), head.fc2(F.gelu(head.fc1(features))), atol=0, rtol=0)


def test_the_residual_head_starts_as_a_linear_one():
    head = ResidualMLPHead(in_dim=6, out_dim=4)
    features = torch.randn(3, 6)
    assert torch.equal(head(features), head.proj(features))
    head.gate.data.fill_(1.0)
    assert not torch.equal(head(features), head.proj(features))


def test_identity_refuses_another_size():
    with pytest.raises(
        zoo.ZooError, match=r"keeps the encoder's 6 features, and the embedding has 4"
    ):
        IdentityHead(in_dim=6, out_dim=4)
