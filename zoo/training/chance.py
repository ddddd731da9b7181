"""What a loss gives embeddings that say nothing."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import LossError
from zoo.losses.gather import as_one_process

__all__ = ["chance_loss"]


def chance_loss(loss: nn.Module, rows: int) -> float | None:
    """The loss of a batch of embeddings that are all alike: `log(rows)` for InfoNCE.

    None where it takes more than embeddings.
    """
    alone: Any = copy.deepcopy(loss)  # one that keeps a queue is not to keep these
    same = F.normalize(torch.ones(rows, 2), dim=1).to(next(loss.parameters(), torch.empty(0)))
    try:
        with torch.no_grad(), as_one_process():
            found: Tensor = alone(same, same)
    except (LossError, TypeError, RuntimeError):
        return None
    return found.item()
