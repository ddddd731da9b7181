"""Double precision for what is solved, whatever device the numbers are on."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["exact"]


def exact(tensor: Tensor) -> Tensor:
    """In float64: where it is, or on the CPU if its device has none, such as an Apple GPU."""
    try:
        return tensor.double()
    except TypeError:  # what torch raises there
        return tensor.to("cpu", torch.float64)
