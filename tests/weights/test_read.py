"""Weights files: only tensors are read, and no pickle is run."""

import os

import pytest
import torch

from zoo.errors import WeightsError
from zoo.weights.read import check_sha256, load_strictly, read_tensors, state_sha256


class Payload:
    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_pickle_with_a_payload_is_not_run(tmp_path):
    canary = tmp_path / "canary"
    path = tmp_path / "evil.pth"
    torch.save({"weight": torch.ones(1), "extra": Payload(canary)}, path)
    with pytest.raises(WeightsError, match=r"evil.pth: not a whole weights file"):
        read_tensors(path)
    assert not canary.exists()
    torch.save(
        {"weight": torch.ones(1), "extra": Payload(canary)},
        path,
        _use_new_zipfile_serialization=False,
    )
    with pytest.raises(WeightsError):
        read_tensors(path)
    assert not canary.exists()


def test_both_checkpoint_formats(tmp_path):
    for zipped in (True, False):
        path = tmp_path / f"{zipped}.pth"
        torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=zipped)
        assert torch.equal(read_tensors(path)["a"], torch.ones(2))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([torch.ones(1)], "holds a list, not named tensors"),
        ({"epoch": 3}, "'epoch' is not a tensor"),
    ],
)
def test_more_or_less_than_tensors(tmp_path, content, said):
    path = tmp_path / "it.pth"
    torch.save(content, path)
    with pytest.raises(WeightsError, match=said):
        read_tensors(path)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff" * 64])
def test_nonsense(tmp_path, suffix, content):
    path = tmp_path / f"it.{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"it.{suffix}: not a whole weights file"):
        read_tensors(path)
    path.unlink()
    with pytest.raises(WeightsError, match="there is no such weights file"):
        read_tensors(path)


def test_nothing_is_loaded_when_something_does_not_fit():
    layer = torch.nn.Linear(2, 2)
    before = state_sha256(layer)
    with pytest.raises(WeightsError, match=r"here: the weights do not fit the model: missing bias"):
        load_strictly(layer, {"weight": torch.zeros(2, 2)}, "here")
    assert state_sha256(layer) == before


def test_a_pinned_hash(tmp_path):
    path = tmp_path / "it"
    path.write_bytes(b"x")
    check_sha256(path, "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", "")
    check_sha256(path, "2d711642", "")
    with pytest.raises(
        WeightsError, match=r"it: the weights differ .* sha256 is 2d711.* be aaaa.*; do this"
    ):
        check_sha256(path, "aaaa", "do this")


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: layer.weight.data.add_(1e-6),
        lambda layer: layer.to(torch.float64),
        lambda layer: layer.register_buffer("more", torch.zeros(1)),
    ],
)
def test_the_hash_of_a_state_sees_every_change(change):
    torch.manual_seed(0)
    layer = torch.nn.Linear(2, 2)
    before = state_sha256(layer)
    assert state_sha256(layer) == before
    change(layer)
    assert state_sha256(layer) != before
