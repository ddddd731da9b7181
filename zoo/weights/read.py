"""Tensors from files: safetensors, or torch checkpoints without running their pickles."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import WeightsError
from zoo.weights.claims import check_archive, check_claims, check_numbers, reason_of

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "check_sha256",
    "load_strictly",
    "own",
    "read_tensors",
    "sha256_of",
    "state_sha256",
    "tensors_sha256",
]


def read_tensors(path: Path, *, prefix: str = "", mapped: bool = True) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file or a torch checkpoint.

    Args:
        prefix: only tensors whose names begin so; no other one's bytes are read.
        mapped: leave them on disk until they are used, which a change of the file would change too.
            False reads all of the file once, into memory of their own.

    Raises:
        WeightsError: the file is missing, truncated, of another format, or holds more than tensors.
    """
    import torch
    from safetensors import safe_open

    if not path.is_file():
        raise WeightsError(f"{path}: there is no such weights file")
    check_archive(path)
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
                read = {name: file.get_tensor(name) for name in names}
            return read if mapped else {name: read.pop(name).clone() for name in names}
        found = torch.load(
            path, map_location="cpu", weights_only=True, mmap=mapped and _can_map(path)
        )
    except Exception as error:  # whatever damaged bytes lead the parsers to
        raise WeightsError(
            f"{path}: not a whole weights file ({path.stat().st_size:,} bytes): {reason_of(error)}. "
            "Delete it and let it be fetched again"
        ) from error
    if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
        raise WeightsError(f"{path}: holds a {type(found).__name__}, not named tensors")
    strangers = [key for key, value in found.items() if not isinstance(value, torch.Tensor)]
    if strangers:
        raise WeightsError(f"{path}: {strangers[0]!r} is not a tensor")
    check_claims(path, found)
    if prefix:
        return {name: tensor for name, tensor in found.items() if name.startswith(prefix)}
    # A state dict carries the versions of its modules, which some of them ask for.
    return found if isinstance(found, dict) else dict(found)


def load_strictly(
    module: nn.Module, tensors: Mapping[str, Tensor], where: str, *, assign: bool = False
) -> None:
    """Load tensors into a module: every name and shape must fit, or nothing is loaded.

    Args:
        assign: make the tensors themselves the module's parameters, see `own`.

    Raises:
        WeightsError: names what is missing, extra or of another shape, or no number.
    """
    state = module.state_dict()
    faults = []
    for title, names in (
        ("missing", state.keys() - tensors.keys()),
        ("unexpected", tensors.keys() - state.keys()),
    ):
        if names:
            listed = ", ".join(sorted(names)[:3])
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            faults.append(f"{title} {listed}{more}")
    for name in sorted(state.keys() & tensors.keys()):
        if state[name].shape != tensors[name].shape:
            faults.append(
                f"{name} has shape {tuple(tensors[name].shape)}, and the model's has "
                f"{tuple(state[name].shape)}"
            )
            break
    if faults:
        raise WeightsError(f"{where}: the weights do not fit the model: {'; '.join(faults)}")
    check_numbers(module, tensors, where)
    state.update(tensors)  # what fits in every name and shape is of the module's own version
    module.load_state_dict(state, assign=assign)


def own(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors in float32, none of them sharing memory: fit to be a module's parameters."""
    import torch

    seen: set[int] = set()
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            tensor = tensor.to(torch.float32)
        storage = tensor.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() > tensor.nbytes:
            tensor = tensor.clone()
        seen.add(tensor.untyped_storage().data_ptr())
        tensors[name] = tensor
    return tensors


def check_sha256(path: Path, expected: str, how: str) -> None:
    """Compare a file with its pinned hash, or with the start of one.

    Raises:
        WeightsError: the file is missing or differs; the message ends with `how` to mend it.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such weights file; {how}")
    found = sha256_of(path)
    if not found.startswith(expected):
        raise WeightsError(
            f"{path}: the weights differ from the ones that are pinned: sha256 is {found}, and "
            f"should be {expected}. They are damaged or not the ones meant; {how}"
        )


def sha256_of(path: Path) -> str:
    """The sha256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_sha256(module: nn.Module) -> str:
    """One hash over the names, types, shapes and values of a module's tensors."""
    return tensors_sha256(module.state_dict())


def tensors_sha256(tensors: Mapping[str, Any]) -> str:
    """The same of named tensors, in whatever order."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
        digest.update(plain.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _can_map(path: Path) -> bool:
    """Whether the file is a zip checkpoint; those of torch < 1.6 are not and cannot be mapped."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"
