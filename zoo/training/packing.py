"""Nested state, such as an optimizer's, as JSON and named tensors, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zoo.errors import CheckpointError

__all__ = ["pack", "plain", "unpack"]

_CHANNELS_LAST = "channels last"


def pack(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON, in which a tensor stands by its name.

    Args:
        path: what it is, of which the names of its tensors begin.
        tensors: where they are added.

    Raises:
        CheckpointError: it holds something else than numbers, texts, tensors and containers of them.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        tensors[path] = value
        last = value.ndim == 4 and not value.is_contiguous()
        last = last and value.is_contiguous(memory_format=torch.channels_last)
        return {"tensor": path, **({"layout": _CHANNELS_LAST} if last else {})}
    if isinstance(value, Mapping):
        entries = [
            [pack(key, path, tensors), pack(each, f"{path}.{key}", tensors)]
            for key, each in value.items()
        ]
        return {"entries": entries}
    if isinstance(value, (list, tuple)):
        items = [pack(each, f"{path}.{number}", tensors) for number, each in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    raise CheckpointError(
        f"{path}: is a {type(value).__name__}, and a checkpoint holds numbers, texts and tensors"
    )


def unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What was packed; the tensors are laid out in memory as they were."""
    if isinstance(value, list):
        return [unpack(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        tensor = tensors[value["tensor"]].clone()
        if value.get("layout") == _CHANNELS_LAST:
            return tensor.contiguous(memory_format=torch.channels_last)
        return tensor
    if "tuple" in value:
        return tuple(unpack(each, tensors) for each in value["tuple"])
    return {unpack(key, tensors): unpack(each, tensors) for key, each in value["entries"]}


def plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors as a file takes them: on the CPU, contiguous, none sharing memory."""
    made: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        each = tensor.detach().cpu().contiguous()
        storage = each.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != each.nbytes:
            each = each.clone()
        seen.add(each.untyped_storage().data_ptr())
        made[name] = each
    return made
