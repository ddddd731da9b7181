"""Groups for an optimizer: each parameter that trains once, rates by depth as timm has them."""

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay
from torch import nn

import zoo
from zoo.errors import SpecError


def build(**overrides):
    overrides = {"image.encoder": "timm/vit_tiny_patch16_224", **overrides}
    return zoo.build("resnet50-clip", pretrained=False, towers=("image",), overrides=overrides)


def rates(model, groups):
    names = {id(each): name for name, each in model.named_parameters()}
    names |= {id(each): f"loss.{name}" for name, each in model.loss.named_parameters()}
    found = {}
    for group in groups:
        for each in group["params"]:
            assert id(each) not in found
            found[id(each)] = (group["lr"], group["weight_decay"])
    return {names[key]: value for key, value in found.items()}


@pytest.mark.parametrize("mode", ["full", "head", {"last": 2}, {"lora": {"rank": 2}}])
@pytest.mark.parametrize("layer_decay", [None, 0.5])
def test_each_parameter_that_trains_is_in_one_group(mode, layer_decay):
    model = build(**{"image.train": mode})
    groups = model.parameter_groups(1e-3, 0.1, layer_decay=layer_decay)
    trains = {name for name, each in model.named_parameters() if each.requires_grad}
    assert rates(model, groups).keys() == trains | {"loss.logit_scale"}
    assert len({group["name"] for group in groups}) == len(groups)
    assert all(group["params"] for group in groups)
    optimizer = torch.optim.AdamW(groups)
    assert [group["name"] for group in optimizer.param_groups] == [each["name"] for each in groups]


def test_names_rates_and_decay():
    groups = build().parameter_groups(1e-3, 0.1, backbone_scale=0.1, loss_learning_rate=5e-3)
    said = {group["name"]: (group["lr"], group["weight_decay"]) for group in groups}
    assert said == {
        "image.encoder.decay": (pytest.approx(1e-4), 0.1),
        "image.encoder.no_decay": (pytest.approx(1e-4), 0.0),
        "image.head.decay": (1e-3, 0.1),
        "image.head.no_decay": (1e-3, 0.0),
        "loss.no_decay": (5e-3, 0.0),
    }


def test_matrices_decay_and_nothing_else():
    model = build()
    found = rates(model, model.parameter_groups(1e-3, 0.1))
    for name, module in model.named_modules():
        for parameter_name, _ in module.named_parameters(recurse=False):
            full_name = f"{name}.{parameter_name}"
            matrix = isinstance(module, (nn.Linear, nn.Conv2d)) and parameter_name == "weight"
            matrix |= parameter_name == "pos_embed"
            assert (found[full_name][1] == 0.1) == matrix, full_name
    assert found["loss.logit_scale"] == (1e-3, 0.0)


def test_rates_by_depth_are_those_of_timm():
    model = build()
    net = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    theirs = {
        id(each): group["lr_scale"]
        for group in param_groups_layer_decay(net, layer_decay=0.75)
        for each in group["params"]
    }
    found = rates(model, model.parameter_groups(2.0, 0.1, layer_decay=0.75))
    for name, parameter in net.named_parameters():
        rate = found[f"image_encoder.encoder.backbone.{name}"][0]
        assert rate == pytest.approx(2.0 * theirs[id(parameter)]), name
    assert found["image_encoder.head.fc1.weight"][0] == 2.0
    names = [group["name"] for group in model.parameter_groups(2.0, 0.1, layer_decay=0.75)]
    assert {"image.encoder.stem.decay", "image.encoder.block_12.no_decay"} < set(names)
    assert "image.encoder.rest.no_decay" in names


def test_both_towers_and_no_loss():
    model = zoo.build(
        "resnet50-clip",
        pretrained=False,
        overrides={"image.train": "frozen", "text.head": "linear", "text.train": "head"},
    )
    model.loss = None
    assert [group["name"] for group in model.parameter_groups(1e-3, 0.1)] == ["text.head.decay"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layer_decay": 0.0}, "layer_decay is more than 0 and at most 1, not 0.0"),
        ({"layer_decay": 1.5}, "layer_decay is more than 0 and at most 1, not 1.5"),
        ({"backbone_scale": -1.0}, "backbone_scale is 0 or more, not -1.0"),
    ],
)
def test_factors_out_of_range(options, said):
    with pytest.raises(SpecError, match=said):
        build().parameter_groups(1e-3, 0.1, **options)
