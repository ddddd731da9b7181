"""An image encoder that takes its time, for tests of processes that work at once."""

import sys
import time

import torch
from torch import nn

from zoo import Preprocess

__all__ = ["Slow"]


class Slow(nn.Module):
    """Mean colour, after a while; the first time not before a line comes in, if it waits."""

    out_dim = 3
    waits = False

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__()
        self.preprocess = Preprocess(8, (8, 8), "bilinear", (0.0,) * 3, (1.0,) * 3)
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        if Slow.waits:
            Slow.waits = False
            print("looked", flush=True)
            sys.stdin.readline()
        time.sleep(0.08)
        return images.mean((2, 3))
