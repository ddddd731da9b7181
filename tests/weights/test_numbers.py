"""Checkpoints with NaN in them, under tags of torchvision and timm, and by address."""

import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision import models

from zoo.encoders import timm_image, torchvision_image
from zoo.errors import WeightsError
from zoo.weights.record import records


def spoiled(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    state = network.state_dict()
    next(iter(state.values())).flatten()[0] = float("nan")
    return state


def test_torchvision(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    path.parent.mkdir(parents=True)
    torch.save(spoiled(models.squeezenet1_1()), path)
    for weights in ("IMAGENET1K_V1", f"file:{path}"):
        with pytest.raises(WeightsError, match=rf"{path.name}: features.0.weight holds NaN"):
            torchvision_image.create("squeezenet1_1", weights=weights)
    assert list(records()) == []  # the file that comes in its place may be another


def test_timm(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--timm--test_resnet.r160_in1k" / "snapshots" / ("0" * 40)
    folder.mkdir(parents=True)
    (folder.parent.parent / "refs").mkdir()
    (folder.parent.parent / "refs" / "main").write_text("0" * 40)
    path = folder / "model.safetensors"
    save_file(spoiled(timm.create_model("test_resnet")), path)
    for weights in ("r160_in1k", f"file:{path}"):
        with pytest.raises(WeightsError, match=r"model.safetensors: conv1.0.weight holds NaN"):
            timm_image.create("test_resnet", weights=weights)
    assert list(records()) == []
