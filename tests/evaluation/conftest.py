"""clip-benchmark as a peer, a small model with batch norm, and pictures of colours in folders."""

import builtins

import numpy as np
import pytest
import shades
import torch
from clip_benchmark.metrics import zeroshot_classification

import zoo
from zoo_tiny import TinyText


@pytest.fixture
def peer_classification(monkeypatch):
    """Its module of zero-shot classification, where NumPy 2.4 no longer takes an array for a number."""

    def number(value):
        return builtins.float(value.item() if isinstance(value, np.ndarray) else value)

    monkeypatch.setattr(zeroshot_classification, "float", number, raising=False)
    return zeroshot_classification


@pytest.fixture
def model():
    zoo.register("text_encoder", "letters", TinyText)
    torch.manual_seed(1)
    return zoo.build(
        "resnet50-clip",
        pretrained=False,
        overrides={
            "image.encoder": {"name": "timm/test_resnet", "args": {"image_size": 64}},
            "text.encoder": "letters",
            "text.head": "linear",
            "text.train": "head",
            "embedding_dim": 8,
        },
    )


@pytest.fixture
def colours(tmp_path):
    """`train` with four pictures and `test` with three of each of three classes."""
    names = {"red": "red", "green": "green", "blue": "sky_blue"}
    return shades.class_folders(tmp_path / "colours", {"train": 4, "test": 3}, names)
