"""Whether bfloat16 is worth it here: measured, not assumed."""

import functools
import math
import platform
import time
from typing import Literal

import torch
from torch import nn

from zoo.cache import cache_folder
from zoo.recipe import Precision

__all__ = ["Precision", "autocast", "choose"]


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
    """Measured once on a machine and kept, so that every run there computes in the same precision."""
    machine = [
        platform.node(),
        device_type,
        torch.__version__,
        torch.backends.cpu.get_cpu_capability(),
    ]
    kept = cache_folder("precision") / "-".join(map(str, machine)).replace("/", "-")
    if not kept.is_file():
        kept.write_text("bf16" if _measure(device_type) else "fp32")
    return kept.read_text() == "bf16"


def _measure(device_type: str) -> bool:
    """Time matrix products both ways; a processor without bfloat16 units is far slower with it.

    In turn, and the best of many: other work on the machine only makes a run slower.
    """
    layer = nn.Linear(1024, 1024, device=device_type)
    rows = torch.randn(256, 1024, device=device_type)
    best = {True: math.inf, False: math.inf}
    with torch.inference_mode():
        for _ in range(25):
            for bf16 in best:
                start = time.perf_counter()
                with torch.autocast(device_type, dtype=torch.bfloat16, enabled=bf16):
                    layer(rows)
                if device_type != "cpu":
                    torch.accelerator.synchronize()
                best[bf16] = min(best[bf16], time.perf_counter() - start)
    return best[True] < 0.8 * best[False]
