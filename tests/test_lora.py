"""LoRA on real architectures: silent at first, trains alone, folds in, and is saved apart."""

import copy
import json
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import zoo
from architectures import EACH, encoder_of, tower_of
from zoo.assembly import plan
from zoo.errors import MissingExtraError, SpecError, WeightsError
from zoo.modes import merge_adapters
from zoo.spec import LoRA, WithLoRA
from zoo.weights.record import forget

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
        exact = copy.deepcopy(tower).double()
        precise = tuple(each.double() if each.is_floating_point() else each for each in inputs)
        reference = exact(*precise)
        rounding = (trained - reference).abs().max()  # of the network itself, in float32
        merge_adapters(tower)
        assert (tower(*inputs) - trained).abs().max() < max(1e-5, 10 * rounding)
        merge_adapters(exact)
        torch.testing.assert_close(exact(*precise), reference, atol=1e-10, rtol=0)
    assert encoder.state_dict().keys() == before.keys()
    assert tower.frozen_parts == ("encoder",)
    assert not any(each.requires_grad for each in encoder.parameters())


def build(lora=None, **overrides):
    return zoo.build(
        "resnet50-clip",
        towers=("image",),
        overrides={
            "image.encoder": "timm/resnet10t",
            "image.weights": None,
            "image.head": "linear",
            "image.train": {"lora": lora or {}},
            "embedding_dim": 8,
            **overrides,
        },
    )


def adapters_of(model):
    return {
        name.partition(".lora_A")[0].removeprefix("image_encoder.encoder.backbone.")
        for name, _ in model.named_parameters()
        if ".lora_A" in name
    }


def test_targets_are_the_ends_of_paths():
    assert adapters_of(build({"targets": ["layer4.0.conv1"]})) == {"layer4.0.conv1"}
    chosen = adapters_of(build({"targets": ["conv2", "layer4.0.conv1"]}))
    assert chosen == {"layer4.0.conv1", *(f"layer{stage}.0.conv2" for stage in (1, 2, 3, 4))}


def test_settings_reach_peft():
    model = build({"rank": 3, "alpha": 12, "dropout": 0.25, "targets": ["layer4.0.conv1"]})
    layer = model.image_encoder.encoder.backbone.layer4[0].conv1
    assert layer.lora_A["default"].weight.shape[0] == 3
    assert layer.scaling["default"] == 4.0
    dropout = layer.lora_dropout["default"]
    assert (type(dropout), dropout.p) == (nn.Dropout, 0.25)
    model.train()
    assert dropout.training
    assert not layer.base_layer.training
    model.eval()
    assert not dropout.training


@pytest.mark.parametrize(
    ("overrides", "lora", "said"),
    [
        (
            {},
            {"targets": ["conv9"]},
            r"image.train \(overrides\): lora: no layer that this encoder calls is named 'conv9'; "
            r"adapters can go on .*conv1, conv2.* Did you mean 'conv",
        ),
        (
            # Its attention computes projections from their weights, past their forward.
            {"image.encoder": "torchvision/vit_b_32"},
            {"targets": ["out_proj"]},
            "lora: no layer that this encoder calls is named 'out_proj'",
        ),
        (
            # Depthwise convolutions cannot be folded in.
            {"image.encoder": "timm/mobilenetv4_conv_small"},
            {"targets": ["dw_mid.conv"]},
            "lora: no layer that this encoder calls is named 'dw_mid.conv'",
        ),
    ],
)
def test_targets_that_cannot_be(overrides, lora, said):
    with pytest.raises(SpecError, match=said):
        build(lora, **overrides)


def test_an_encoder_without_layers_for_adapters():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.out_dim = 3
            self.preprocess = zoo.Preprocess(8, (8, 8), "bilinear", (0.0,) * 3, (1.0,) * 3)

        def forward(self, images):
            return images.mean((2, 3))

    with pytest.raises(SpecError, match="lora: this encoder has no layer for adapters"):
        tower_of(Mean(), MODE)


def test_without_peft(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    said = r"LoRA needs peft: pip install 'clip-zoo\[lora\]'"
    overrides = {"image.train": {"lora": {}}}
    with pytest.raises(MissingExtraError, match=said):
        zoo.build("resnet50-clip", overrides=overrides)  # before weights are looked for
    with pytest.raises(MissingExtraError, match=said):
        plan("resnet50-clip", overrides=overrides).check()
    plan("resnet50-clip", overrides=overrides, towers=("text",)).check()


def test_merge_lora():
    model = build()
    stir(model)
    model.eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        before = model.encode_image(images)
        model.merge_lora()
        torch.testing.assert_close(model.encode_image(images), before, atol=1e-5, rtol=0)
    assert model.spec.image.train == "head"
    assert adapters_of(model) == set()
    assert [name for name, each in model.named_parameters() if each.requires_grad] == [
        "image_encoder.head.proj.weight"
    ]
    assert not any(each.training for each in model.train().image_encoder.encoder.modules())
    with pytest.raises(SpecError, match="no tower of this model has adapters"):
        model.merge_lora()


def test_without_weights_of_its_own_the_base_is_saved_along(tmp_path):
    model = build()
    stir(model)
    folder = zoo.save(model, tmp_path / "model")
    again = zoo.load(folder)
    assert again.spec == model.spec
    for (name, mine), (theirs, other) in zip(
        model.state_dict().items(), again.state_dict().items(), strict=True
    ):
        assert name == theirs
        assert torch.equal(mine, other), name
    stored = load_file(folder / "model.safetensors")
    assert "image.encoder.backbone.layer4.0.conv1.weight" in stored
    assert "image.adapters.backbone.layer4.0.conv1.lora_A.weight" in stored
    assert not any("base_layer" in name for name in stored)
    assert "pip install 'clip-zoo[lora]'" in (folder / "README.md").read_text()
    assert "peft" in json.loads((folder / "zoo.json").read_text())["written_with"]


def test_a_base_with_an_origin_is_kept_by_hash(tmp_path, resnet50_in_torch_hub):
    origin = {"image.encoder": "resnet50", "image.weights": "default"}
    model = build({"rank": 2}, **origin)
    stir(model)
    folder = zoo.save(model, tmp_path / "model")
    stored = load_file(folder / "model.safetensors")
    assert {name.split(".")[1] for name in stored} == {"adapters", "head", "logit_scale"}
    assert (folder / "model.safetensors").stat().st_size < 3_000_000
    parts = json.loads((folder / "zoo.json").read_text())["parts"]
    assert (parts["image.encoder"]["stored"], parts["image.adapters"]["stored"]) == (False, True)
    again = zoo.load(folder).eval()
    model.eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model.encode_image(images), again.encode_image(images))
        assert len(again.get_trainable_parameters()) == len(model.get_trainable_parameters())

        model.merge_lora()
        merged = zoo.load(zoo.save(model, tmp_path / "merged")).eval()
        assert torch.equal(model.encode_image(images), merged.encode_image(images))
    assert merged.spec.image.train == "head"


def test_other_weights_under_the_base_are_refused(tmp_path, resnet50_in_torch_hub):
    origin = {"image.encoder": "resnet50", "image.weights": "default"}
    folder = zoo.save(build({"rank": 2}, **origin), tmp_path / "model")
    before = resnet50_in_torch_hub.read_bytes()
    try:
        state = torch.load(resnet50_in_torch_hub, weights_only=True)
        state["conv1.weight"][0, 0, 0, 0] += 1
        torch.save(state, resnet50_in_torch_hub)
        with pytest.raises(WeightsError, match=r"not the file of .* when zoo first read it"):
            zoo.load(folder)
        forget("https://download.pytorch.org/models/resnet50-11ad3fa6.pth")
        with pytest.raises(WeightsError, match=r"the frozen image.encoder has other weights now"):
            zoo.load(folder)
    finally:
        resnet50_in_torch_hub.write_bytes(before)


def test_a_base_that_was_changed_is_stored(tmp_path, resnet50_in_torch_hub):
    model = build({"rank": 2}, **{"image.encoder": "resnet50", "image.weights": "default"}).eval()
    with torch.no_grad():
        model.image_encoder.encoder.backbone.layer1[0].conv1.base_layer.weight.mul_(2.0)
    again = zoo.load(zoo.save(model, tmp_path / "model")).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model.encode_image(images), again.encode_image(images))


def test_a_sketch_has_the_sizes_of_the_real_one():
    overrides = {"image.train": {"lora": {"rank": 2}}, "text.train": {"lora": {"rank": 2}}}
    sketch = plan("resnet50-clip", overrides=overrides).sketch()
    counts = sketch.parameter_counts()
    assert counts["text.encoder"][1] == 63_428_096
    # q, k, v, out: 512 → 512; fc1, fc2: 512 ↔ 2048; in 12 layers; and the projection, 512 → 512.
    assert counts["text.encoder"][0] == 2 * (12 * (4 * 1024 + 2 * 2560) + 1024)
    assert counts["image.encoder"][1] == 23_508_032
