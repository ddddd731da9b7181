"""Which precision is chosen, and that it is measured once."""

import torch

from zoo.training import precision


def test_it_is_measured_once_on_a_machine(monkeypatch):
    cpu = torch.device("cpu")
    measured = []
    monkeypatch.setattr(precision, "_measure", lambda device: not measured.append(device))
    for _ in range(2):
        precision._bf16_is_faster.cache_clear()  # as in another process
        assert precision.choose("auto", cpu) == "bf16"
    assert measured == ["cpu"]
    assert precision.choose("fp32", cpu) == "fp32"
    precision._bf16_is_faster.cache_clear()


def test_measuring_gives_an_answer():
    assert precision._measure("cpu") in (True, False)
