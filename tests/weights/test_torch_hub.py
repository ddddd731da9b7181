"""Torch hub's cache, found without torch."""

import sys

import pytest
import torch

from zoo.weights.torch_hub import checkpoints_folder


@pytest.mark.parametrize(
    "environment",
    [{}, {"TORCH_HOME": "~/hub-of-mine"}, {"XDG_CACHE_HOME": "/caches"}, {"XDG_CACHE_HOME": ""}],
)
def test_the_folder_is_where_torch_says(monkeypatch, environment):
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    said = checkpoints_folder()
    monkeypatch.delitem(sys.modules, "torch.hub")
    assert checkpoints_folder() == said
    assert str(said) == f"{torch.hub.get_dir()}/checkpoints"


def test_one_that_a_program_has_set(monkeypatch, tmp_path):
    monkeypatch.setattr("torch.hub._hub_dir", str(tmp_path))
    assert checkpoints_folder() == tmp_path / "checkpoints"
