"""Whether bfloat16 is worth it here: measured, not assumed."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import math
import platform
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import nn

from zoo.cache import cache_folder
from zoo.errors import CacheError
from zoo.folder.swap import write_whole
from zoo.recipe import Precision

__all__ = ["Measured", "Precision", "autocast", "choose", "fp32_kernels", "measured"]

_log = logging.getLogger(__name__)

_ROUNDS = 8
_HOPELESS = 3.0
"""A processor without bfloat16 units is dozens of times slower with it: once is enough to see."""


@dataclass(frozen=True)
class Measured:
    """Seconds that a convolution and a matrix product took, there and back, in each precision."""

    fp32: float
    bf16: float

    @property
    def faster(self) -> Literal["fp32", "bf16"]:
        """bfloat16 costs digits, so that a small gain is none."""
        return "bf16" if self.bf16 < 0.8 * self.fp32 else "fp32"


def choose(wanted: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """The precision to compute in."""
    return measured(device.type).faster if wanted == "auto" else wanted


def autocast(precision: Literal["fp32", "bf16"], device: torch.device) -> torch.autocast:
    """The context in which a forward pass runs in this precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def fp32_kernels() -> dict[str, str]:
    """How exactly products of float32 are taken, as torch was told: of a GPU, and of a processor."""
    backends: Any = torch.backends
    told = {
        "cuda.matmul": backends.cuda.matmul,
        "cudnn.conv": backends.cudnn.conv,
        "mkldnn.matmul": backends.mkldnn.matmul,
        "mkldnn.conv": backends.mkldnn.conv,
    }
    return {name: each.fp32_precision.replace("none", "ieee") for name, each in told.items()}


@functools.cache
def measured(device_type: str) -> Measured:
    """Measured once on a machine and kept, so that every run there computes in the same precision.

    Where it cannot be kept, each process measures anew, and the log says so.
    """
    machine = json.dumps(_machine(device_type), sort_keys=True)
    try:
        kept = cache_folder("precision") / f"{hashlib.sha256(machine.encode()).hexdigest()}.json"
    except CacheError as error:
        _not_kept(error)
        return _measure(device_type)
    try:
        seconds = json.loads(kept.read_text())["seconds"]
        return Measured(float(seconds["fp32"]), float(seconds["bf16"]))
    except (OSError, ValueError, KeyError, TypeError):  # not there, or damaged
        found = _measure(device_type)
    said = {"machine": json.loads(machine), "seconds": asdict(found)}
    try:
        write_whole(kept, json.dumps(said, indent=1))
    except OSError as error:
        _not_kept(error)
    return found


def _not_kept(error: Exception) -> None:
    _log.warning("which precision is faster is not kept, and measured again each time: %s", error)


def _machine(device_type: str) -> dict[str, Any]:
    """All that decides which precision is faster: another processor under the same name is another."""
    device: Any = dict(torch.cpu.get_capabilities())
    if device_type != "cpu":
        module: Any = torch.get_device_module(device_type)
        device = module.get_device_name() if hasattr(module, "get_device_name") else device_type
    return {"node": platform.node(), "device": device, "torch": torch.__version__}


def _measure(device_type: str) -> Measured:
    """Time both ways what training spends its time on.

    In turn, and the best of several: other work on the machine only makes a run slower.
    """
    convolution = nn.Conv2d(64, 64, 3, padding=1, device=device_type)
    convolution.to(memory_format=torch.channels_last)
    layer = nn.Linear(512, 512, device=device_type)
    pixels = torch.ones(2, 64, 28, 28, device=device_type, requires_grad=True)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    rows = torch.ones(256, 512, device=device_type, requires_grad=True)
    best = {False: math.inf, True: math.inf}
    for turn in range(_ROUNDS):
        for bf16 in best:
            start = time.perf_counter()
            with torch.enable_grad(), torch.autocast(device_type, torch.bfloat16, enabled=bf16):
                result = convolution(pixels).float().mean() + layer(rows).float().mean()
            torch.autograd.grad(result, [*convolution.parameters(), *layer.parameters(), rows])
            if device_type != "cpu":
                torch.accelerator.synchronize()
            best[bf16] = min(best[bf16], time.perf_counter() - start)
        if best[True] > _HOPELESS * best[False] and turn:
            break
    return Measured(best[False], best[True])
