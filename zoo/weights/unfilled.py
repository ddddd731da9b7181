"""Building a network whose weights are to be read: nothing random is drawn for them first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

__all__ = ["unfilled"]

_DRAWN = {
    torch.Tensor.uniform_,
    torch.Tensor.normal_,
    torch.Tensor.erfinv_,
    torch.nn.init.uniform_,
    torch.nn.init.normal_,
    torch.nn.init.trunc_normal_,
    torch.nn.init.kaiming_uniform_,
    torch.nn.init.kaiming_normal_,
    torch.nn.init.xavier_uniform_,
    torch.nn.init.xavier_normal_,
    torch.nn.init.orthogonal_,
}


@contextmanager
def unfilled() -> Iterator[None]:
    """Inside, layers take memory and leave it as it is: no page of it is touched until it is read.

    Unlike on the meta device, buffers that no file holds (positions, windows) get their values, and
    architectures that look at such values while they are built can be. Every parameter built here
    must be read from a file before it is used.
    """
    with _Unfilled():
        yield


class _Unfilled(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in _DRAWN:
            drawn = args[0] if args else (kwargs or {})["tensor"]
            if isinstance(drawn, nn.Parameter):
                return drawn
            # A tensor for the moment: torch's trunc_normal_ draws again until all values fit.
        return func(*args, **(kwargs or {}))
