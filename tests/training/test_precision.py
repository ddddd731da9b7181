"""Which precision is chosen, and that it is measured once for each machine."""

import json

import pytest
import torch

from zoo.cache import cache_folder
from zoo.training import precision
from zoo.training.precision import Measured, choose, fp32_kernels, measured

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _forgotten():
    measured.cache_clear()
    yield
    measured.cache_clear()


@pytest.fixture
def timings(monkeypatch):
    """Counts the measurements; bfloat16 wins each."""
    made = []

    def measure(device):
        made.append(device)
        return Measured(fp32=2.0, bf16=1.0)

    monkeypatch.setattr(precision, "_measure", measure)
    return made


def test_it_is_measured_once_on_a_machine(timings):
    for _ in range(2):
        measured.cache_clear()  # as in another process
        assert choose("auto", CPU) == "bf16"
    assert timings == ["cpu"]
    assert choose("fp32", CPU) == "fp32"
    assert choose("bf16", CPU) == "bf16"


def test_another_processor_under_the_same_name_is_measured_anew(timings, monkeypatch):
    choose("auto", CPU)
    measured.cache_clear()
    other = {**torch.cpu.get_capabilities(), "avx512_bf16": "another"}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: other)
    choose("auto", CPU)
    assert timings == ["cpu", "cpu"]


def test_what_is_kept_damaged_is_measured_anew(timings):
    choose("auto", CPU)
    (kept,) = cache_folder("precision").glob("*.json")
    assert json.loads(kept.read_text())["seconds"] == {"fp32": 2.0, "bf16": 1.0}
    for damage in (
        "",
        "{}",
        '{"seconds": {"fp32": 1}}',
        "[]",
        '{"seconds": {"fp32": 1, "bf16": "?"}}',
    ):
        kept.write_text(damage)
        measured.cache_clear()
        assert choose("auto", CPU) == "bf16"
    assert len(timings) == 6


def test_what_cannot_be_kept_is_measured_each_time(timings, tmp_path, monkeypatch, caplog):
    cache = tmp_path / "no-folder"
    cache.write_text("a file")
    monkeypatch.setenv("ZOO_CACHE", str(cache))
    assert choose("auto", CPU) == "bf16"
    assert "not kept, and measured again each time: " in caplog.text
    assert "Set ZOO_CACHE to a folder that can be written" in caplog.text
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(precision, "write_whole", full)
    measured.cache_clear()
    assert choose("auto", CPU) == "bf16"
    assert "No space left on device" in caplog.text
    assert timings == ["cpu", "cpu"]


def full(path, text):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(("bf16", "faster"), [(0.5, "bf16"), (0.9, "fp32"), (40.0, "fp32")])
def test_a_small_gain_is_none(bf16, faster):
    assert Measured(fp32=1.0, bf16=bf16).faster == faster


def test_a_processor_without_bfloat16_units_computes_in_fp32():
    units = torch.cpu.get_capabilities()
    found = measured("cpu")
    assert found.fp32 > 0
    assert found.bf16 > 0
    if units["architecture"] == "x86_64" and not (units["avx512_bf16"] or units["amx_bf16"]):
        assert found.faster == "fp32"


def test_kernels_are_those_that_torch_was_told():
    before = fp32_kernels()
    torch.set_float32_matmul_precision("high")
    try:
        assert fp32_kernels()["cuda.matmul"] == "tf32" != before["cuda.matmul"]
    finally:
        torch.set_float32_matmul_precision("highest")
    assert fp32_kernels() == before
