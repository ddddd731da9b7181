"""Train modes on real architectures: what is frozen stands still, what trains gets gradients."""

import copy

import pytest
import torch
from torch import nn

import zoo
from architectures import EACH, blocks_of, encoder_of, tower_of
from zoo.assembly import plan
from zoo.blocks import by_depth
from zoo.errors import SpecError
from zoo.spec import Last, LoRA, WithLoRA
from zoo.training.features import image_features


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

    units = [name for group in groups[:-3] for name in group]
    frozen = [part.removeprefix("encoder.") for part in tower.frozen_parts]
    assert all(any(f"{unit}.".startswith(f"{part}.") for part in frozen) for unit in units)
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


def build(**overrides):
    return zoo.build(
        "resnet50-clip",
        pretrained=False,
        towers=("image",),
        overrides={
            "image.encoder": "timm/resnet10t",
            "image.head": "linear",
            "embedding_dim": 8,
            **overrides,
        },
    )


def test_more_blocks_than_there_are():
    assert build(**{"image.train": {"last": 4}}).image_encoder.train_mode == Last(last=4)
    said = (
        r"image.train \(overrides\): last = 5, and the encoder has 4 blocks; choose 1 to 4, or full"
    )
    with pytest.raises(SpecError, match=said):
        build(**{"image.train": {"last": 5}})


def test_an_encoder_without_blocks():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(9, 4)
            self.out_dim = 4

    with pytest.raises(SpecError, match="last = 1, and the encoder has 0 blocks; choose full"):
        tower_of(Words(), Last(last=1))


def test_all_blocks_are_not_the_stem():
    tower = build(**{"image.train": {"last": 4}}).image_encoder
    stem = {name for name, each in tower.encoder.named_parameters() if not each.requires_grad}
    assert stem == {
        f"backbone.{name}"
        for name in (
            "conv1.0.weight",
            "conv1.1.weight",
            "conv1.1.bias",
            "conv1.3.weight",
            "conv1.4.weight",
            "conv1.4.bias",
            "conv1.6.weight",
            "bn1.weight",
            "bn1.bias",
        )
    }


def test_frozen_blocks_make_no_graph_for_an_input_that_asks():
    model = build(**{"image.train": {"last": 1}}).train()
    images = torch.rand(2, 3, 64, 64, requires_grad=True)
    model.encode_image(images).sum().backward()
    assert images.grad is None


def test_a_copy_keeps_its_own_blocks_frozen():
    model = build(**{"image.train": {"last": 1}})
    again = copy.deepcopy(model).train()
    live = [name for name, each in again.image_encoder.encoder.named_modules() if each.training]
    assert not any("layer1" in name or "layer3" in name for name in live)
    assert any("layer4" in name for name in live)
    assert model.image_encoder.encoder.backbone.layer4.training


def test_counts_of_each_mode():
    counts = {
        str(mode): build(**{"image.train": mode}).parameter_counts()["image.encoder"]
        for mode in ("full", "head", "frozen", {"last": 1}, {"lora": {"rank": 2}})
    }
    full = counts["full"][0]
    layer4 = sum(
        each.numel() for each in build().image_encoder.encoder.backbone.layer4.parameters()
    )
    assert counts["head"] == counts["frozen"] == (0, full)
    assert counts["{'last': 1}"] == (layer4, full - layer4)
    adapters, frozen = counts["{'lora': {'rank': 2}}"]
    assert frozen == full
    assert 0 < adapters < 0.05 * full


@pytest.mark.parametrize("mode", ["full", "head", {"last": 1}, {"lora": {}}])
def test_only_a_wholly_frozen_encoder_is_cached(mode, pictures, tmp_path):
    model = build(**{"image.train": mode})
    image_features(model, pictures[:2])
    assert (tmp_path / "zoo-cache" / "features").exists() == (mode == "head")


@pytest.mark.parametrize("mode", [{"last": 1}, {"lora": {}}])
def test_an_encoder_that_trains_in_part_needs_more_than_features(mode):
    spec = plan("resnet50-clip", overrides={"image.train": mode}).spec
    assert not spec.heads_only


def test_in_toml(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "resnet50-clip"\n[image]\ntrain = { last = 3 }\n')
    assert plan(path).spec.image.train == Last(last=3)
    path.write_text('base = "resnet50-clip"\n[image.train.lora]\nrank = 4\ntargets = ["conv1"]\n')
    assert plan(path).spec.image.train == WithLoRA(lora=LoRA(rank=4, targets=["conv1"]))
