"""Whether bfloat16 is worth it here: measured, not assumed."""

import functools
import math
import time
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["Precision", "autocast", "choose"]

Precision = Literal["auto", "fp32", "bf16"]


def choose(wanted: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """The precision to compute in."""
    if wanted != "auto":
        return wanted
    return "bf16" if _bf16_is_faster(device.type) else "fp32"


def autocast(precision: Literal["fp32", "bf16"], device: torch.device) -> torch.autocast:
    """The context in which a forward pass runs in this precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


@functools.cache
def _bf16_is_faster(device_type: str) -> bool:
    """Time matrix products both ways; a processor without bfloat16 units is far slower with it."""
    layer = nn.Linear(1024, 1024, device=device_type)
    rows = torch.randn(256, 1024, device=device_type)
    with torch.inference_mode():
        return _seconds(layer, rows, bf16=True) < 0.8 * _seconds(layer, rows, bf16=False)


def _seconds(layer: nn.Module, rows: Tensor, *, bf16: bool) -> float:
    """The best of several runs, which other work on the machine disturbs least."""
    best = math.inf
    with torch.autocast(rows.device.type, dtype=torch.bfloat16, enabled=bf16):
        for _ in range(8):
            start = time.perf_counter()
            layer(rows)
            if rows.device.type != "cpu":
                torch.accelerator.synchronize()
            best = min(best, time.perf_counter() - start)
    return best
