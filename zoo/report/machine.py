"""What figures are made on: versions, processor, threads."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import torch

__all__ = ["machine"]

_PACKAGES = ("clip-zoo", "torch", "torchvision", "timm", "transformers", "accelerate", "datasets")


def machine(device: torch.device | None = None) -> dict[str, str]:
    """What a reader of figures needs to know of the machine and what is installed, by name."""
    known = {
        "python": platform.python_version(),
        **{name: version for name in _PACKAGES if (version := _version(name))},
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
    }
    if device is not None:
        cuda = device.type == "cuda"
        known["device"] = f"{device}: {torch.cuda.get_device_name(device)}" if cuda else str(device)
    return known


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
