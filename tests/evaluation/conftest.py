"""clip-benchmark as a peer, a small model with batch norm, and pictures of colours in folders."""

import builtins

import numpy as np
import pytest
import torch
from clip_benchmark.metrics import zeroshot_classification
from PIL import Image

import zoo
from zoo_tiny import TinyText

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "sky_blue": (30, 60, 220)}


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
            "image.encoder": "timm/test_resnet",
            "text.encoder": "letters",
            "text.head": "linear",
            "text.train": "head",
            "embedding_dim": 8,
        },
    )


@pytest.fixture
def colours(tmp_path):
    """`train` with four pictures and `test` with three of each of three classes."""
    root = tmp_path / "colours"
    for split, count in (("train", 4), ("test", 3)):
        for name, colour in COLOURS.items():
            (root / split / name).mkdir(parents=True)
            for shade in range(count):
                levels = tuple(
                    max(0, level - 9 * shade - 3 * (split == "test")) for level in colour
                )
                Image.new("RGB", (40, 36), levels).save(root / split / name / f"{shade}.png")
    return root
