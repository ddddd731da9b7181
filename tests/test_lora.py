"""LoRA on real architectures: silent at first, trains alone, folds in, and is saved apart."""

import copy

import pytest
import torch

from architectures import EACH, encoder_of, tower_of
from zoo.modes import merge_adapters
from zoo.spec import LoRA, WithLoRA

MODE = WithLoRA(lora=LoRA(rank=4, alpha=8))


def stir(module):
    """Move adapters off zero, as training would."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if ".lora_" in name:
                parameter.normal_(0, 0.02, generator=generator)


@pytest.mark.parametrize("name", EACH)
def test_adapters(name):
    encoder, inputs = encoder_of(name)
    plain = tower_of(copy.deepcopy(encoder), "head").eval()
    before = {key: each.clone() for key, each in encoder.state_dict().items()}
    tower = tower_of(encoder, MODE).eval()
    with torch.no_grad():
        first = tower(*inputs)
        torch.testing.assert_close(first, plain(*inputs), atol=1e-6, rtol=0)

    stir(tower)
    tower.train()
    features = tower.features(*inputs)
    (features * torch.rand_like(features)).sum().backward()
    adapters = {key: each for key, each in encoder.named_parameters() if ".lora_" in key}
    for key, parameter in encoder.named_parameters():
        assert parameter.requires_grad == (key in adapters), key
        assert (parameter.grad is not None) == (key in adapters), key
    assert all(each.grad.abs().max() > 0 for each in adapters.values())
    for module_name, module in encoder.named_modules():
        assert not module.training or ".lora_dropout" in module_name, module_name
    for key, tensor in encoder.state_dict().items():
        if ".lora_" not in key:
            assert torch.equal(tensor, before[key.replace(".base_layer.", ".")]), key

    tower.eval()
    with torch.no_grad():
        trained = tower(*inputs)
        assert (trained - first).abs().max() > 1e-4
        merge_adapters(tower)
        gap = (tower(*inputs) - trained).abs().max()
        print("GAP", name, float(gap), float((trained - first).abs().max()))
    assert gap < 1e-5
    assert encoder.state_dict().keys() == before.keys()
    assert tower.frozen_parts == ("encoder",)
    assert not any(each.requires_grad for each in encoder.parameters())
