"""What a network may take while it is built: little more than the tensors that there are for it.

A config says how large it is, and comes from elsewhere as the tensors do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.overrides import TorchFunctionMode

from zoo.errors import WeightsError
from zoo.weights.unfilled import unfilled

__all__ = ["Sizes", "bounded", "building_for", "sizes_in", "sizes_of"]

Sizes = tuple[int, int]
"""Number of tensors, and of values in them."""

_TIMES, _TENSORS, _VALUES = 4, 2_000, 100_000_000
"""What is built and taken off again, such as a classifier, comes on top of what is stored."""
_FILLED = {
    torch.arange,
    torch.linspace,
    torch.zeros,
    torch.ones,
    torch.full,
    torch.randn,
    torch.rand,
}


def sizes_in(path: Path, parts: Mapping[str, bool]) -> dict[str, Sizes]:
    """What a safetensors file has for each part, from its header alone.

    Raises:
        WeightsError: the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    found = dict.fromkeys(parts, (0, 0))
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                part = ".".join(name.split(".")[:2])
                part = part if part in found else name.partition(".")[0]
                tensors, values = found.get(part, (0, 0))
                size = math.prod(file.get_slice(name).get_shape())
                found[part] = tensors + 1, values + size
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a whole weights file: {error}") from error
    return found


def sizes_of(paths: Iterable[Path]) -> Sizes:
    """What weights files can hold at most, without reading them."""
    size = sum(path.stat().st_size for path in paths)
    return size // 500, size


@contextmanager
def building_for(stored: Sizes, path: str) -> Iterator[None]:
    """Inside, a module is built whose weights are read from the folder: nothing random is drawn.

    Raises:
        WeightsError: it becomes far larger than what is stored for it.
    """
    try:
        with unfilled(), bounded(stored):
            yield
    except _TooLargeError as error:
        raise WeightsError(
            f"{path}: the folder has {stored[0]:,} tensors of {stored[1]:,} values for it, and its "
            "config asks for far more; the config is damaged or not the one it was saved with"
        ) from error


class _TooLargeError(WeightsError):
    def __init__(self) -> None:
        super().__init__("the config asks for far more tensors or values than the weights have")


@contextmanager
def bounded(stored: Sizes) -> Iterator[None]:
    """Raise where a network becomes far larger than its weights, at the tensor that is too much."""
    most = [_TIMES * stored[0] + _TENSORS, _TIMES * stored[1] + _VALUES]

    def count(tensors: int, values: int) -> None:
        most[0] -= tensors
        most[1] -= values
        if min(most) < 0:
            raise _TooLargeError

    def registered(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        if tensor is not None:
            count(1, tensor.numel())

    hooks = [
        register_module_parameter_registration_hook(registered),
        register_module_buffer_registration_hook(registered),
    ]
    try:
        with _Counted(count):
            yield
    finally:
        for hook in hooks:
            hook.remove()


class _Counted(TorchFunctionMode):
    """Counts what is to be filled with values before it is: it takes memory at once."""

    def __init__(self, count: Callable[[int, int], None]) -> None:
        super().__init__()
        self._count = count

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in _FILLED:
            sizes = args[0] if args and isinstance(args[0], (tuple, list)) else args
            whole = [abs(each) for each in sizes if isinstance(each, int)]
            ranged = func in (torch.arange, torch.linspace)
            self._count(0, max(whole, default=0) if ranged else math.prod(whole))
        return func(*args, **(kwargs or {}))
