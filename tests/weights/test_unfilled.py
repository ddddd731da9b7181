"""Built without random weights first, a network is the same as when it is filled and then loaded."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision import models

from zoo.encoders import timm_image, torchvision_image
from zoo.registry import catalog
from zoo.weights.record import records
from zoo.weights.unfilled import unfilled

NAMED = sorted(
    component.use.removeprefix("timm/") + f".{component.weights}"
    for component in catalog().select("image_encoders")
    if component.use is not None and component.use.startswith("timm/")
)


def everything(module):
    """All parameters and buffers, those that no checkpoint holds too."""
    found = {name: tensor.detach() for name, tensor in module.named_parameters()}
    return found | dict(module.named_buffers())


def same(one, other):
    one, other = everything(one), everything(other)
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=0, atol=0, msg=name)


def test_nothing_is_drawn():
    before = torch.get_rng_state()
    with unfilled():
        models.resnet18()
    assert torch.equal(before, torch.get_rng_state())
    assert models.resnet18().conv1.weight.std() > 0.01  # outside, as ever


@pytest.mark.parametrize("bounds", [(-2.0, 2.0), (1.0, 2.0)])
def test_what_is_drawn_until_it_fits_comes_to_an_end(bounds):
    """Memory that nobody filled may hold any value, and torch draws again until all are in bounds."""
    parameter = torch.nn.Parameter(torch.full((50, 50), 1e30))
    with unfilled():
        torch.nn.init.trunc_normal_(parameter, a=bounds[0], b=bounds[1])
    assert parameter.isfinite().all()


@pytest.mark.parametrize("name", ["test_vit", "test_resnet.r160_in1k"])
def test_a_network_of_timm(name):
    compare_with_timm(name)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMED)
def test_every_named_encoder_of_timm(name):
    compare_with_timm(name)


def compare_with_timm(name):
    torch.manual_seed(3)
    whole = timm.create_model(name)
    repository = timm.get_pretrained_cfg(name).hf_hub_id
    cached = Path(os.environ["HF_HOME"], "hub", f"models--{repository.replace('/', '--')}")
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("a-commit")
    (cached / "snapshots" / "a-commit").mkdir(parents=True)
    state = {key: tensor.contiguous() for key, tensor in whole.state_dict().items()}
    try:
        save_file(state, cached / "snapshots" / "a-commit" / "model.safetensors")
        encoder = timm_image.create(name)
    finally:
        shutil.rmtree(cached)
    assert encoder.weights_source.revision == "a-commit"
    assert [each.sha256 for each in records()] == [encoder.weights_source.sha256]
    whole.reset_classifier(0)
    same(encoder.backbone, whole)


def test_a_network_of_torchvision(resnet50_in_torch_hub):
    whole = models.resnet50()
    whole.load_state_dict(torch.load(resnet50_in_torch_hub, weights_only=True))
    whole.fc = torch.nn.Identity()
    same(torchvision_image.create("resnet50", weights="IMAGENET1K_V2").backbone, whole)


GROWTH = """
import torch, zoo.encoders.clip_text as clip_text
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))
before = peak()
encoder = clip_text.create()
for tensor in encoder.state_dict().values():
    tensor.sum()
print(peak() - before)
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_half_a_checkpoint_is_read_where_half_is_needed(clip_in_hub_cache):
    assert (clip_in_hub_cache / "pytorch_model.bin").stat().st_size > 600_000_000
    done = subprocess.run(
        [sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True
    )
    assert int(done.stdout.split()[-1]) <= 300
