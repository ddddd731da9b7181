"""Train modes on real architectures: what is frozen stands still, what trains gets gradients."""

import copy

import pytest
import torch
from torch import nn

from architectures import EACH, blocks_of, encoder_of, tower_of
from zoo.blocks import by_depth
from zoo.spec import Last


@pytest.mark.parametrize("name", EACH)
def test_the_last_blocks_train_and_nothing_else(name):
    encoder, inputs = encoder_of(name)
    groups = by_depth(encoder)
    assert len(groups) - 2 == blocks_of(name)
    tower = tower_of(encoder, Last(last=2)).train()
    before = copy.deepcopy(encoder.state_dict())

    order, graphs = [], {}
    blocks = {encoder.get_submodule(group[0]): depth for depth, group in enumerate(groups[1:-1])}
    for module_name, module in encoder.named_modules():
        if module in blocks:
            module.register_forward_pre_hook(
                lambda module, _: order.append(blocks[module]), with_kwargs=False
            )
        module.register_forward_hook(
            lambda module, _, output, name=module_name: graphs.update({name: has_graph(output)})
        )
    embeds = tower(*inputs)
    assert order == sorted(order)
    assert len(set(order)) == len(groups) - 2
    (embeds * torch.rand_like(embeds)).sum().backward()

    frozen = [name for group in groups[:-3] for name in group]
    assert tower.frozen_parts == tuple(f"encoder.{name}" for name in frozen)
    inside = {
        f"{name}{'.' if inner else ''}{inner}"
        for name in frozen
        for inner, _ in encoder.get_submodule(name).named_modules()
    }
    for module_name, module in encoder.named_modules():
        if module_name in inside:
            assert not module.training, module_name
            assert not graphs.get(module_name), module_name
        elif not list(module.children()):
            assert module.training, module_name
    trains = {name for group in groups[-3:] for name in group}
    for parameter_name, parameter in encoder.named_parameters():
        of_trained = any(parameter_name.startswith(f"{name}.") for name in trains)
        assert parameter.requires_grad == of_trained, parameter_name
        assert (parameter.grad is not None) == of_trained, parameter_name
    moved = {
        name for name, each in encoder.state_dict().items() if not torch.equal(each, before[name])
    }
    assert all(any(name.startswith(f"{unit}.") for unit in trains) for name in moved)
    norms = [name for name, each in encoder.named_modules() if isinstance(each, nn.BatchNorm2d)]
    assert bool(moved) == any(name.startswith(unit) for name in norms for unit in trains)


def has_graph(output):
    if isinstance(output, torch.Tensor):
        return output.requires_grad
    if isinstance(output, (tuple, list)):
        return any(map(has_graph, output))
    return isinstance(output, dict) and any(map(has_graph, output.values()))
