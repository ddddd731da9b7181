"""Weights files, damaged."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from hypothesis import strategies as st
from safetensors.torch import save

from hostile.damage import EDITS, Kind, edited, mutated
from zoo.weights.read import read_tensors

__all__ = ["WEIGHTS"]


def _with_length(data: bytes) -> bytes:
    """A safetensors file whose header's length is right again."""
    end = data.rfind(b"}", 8)
    return struct.pack("<Q", end - 7) + data[8:] if end > 8 else data


def _tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    drawn = torch.randn(6, 4, generator=generator)
    return {
        "head.weight": drawn,
        "head.half": drawn.half()[:2].clone(),
        "steps": torch.tensor(7),
        "none": torch.zeros(0, 3),
    }


def _checkpoint(zipped: bool) -> bytes:
    file = io.BytesIO()
    torch.save(_tensors(), file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def _rewritten(each: tuple[int, list[tuple[str, int, int, bytes]]]) -> bytes:
    """A whole zip archive with one of its entries damaged."""
    which, edits = each
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_ZIPPED)) as old, zipfile.ZipFile(file, "w") as new:
        names = old.namelist()
        for number, name in enumerate(names):
            content = old.read(name)
            damaged = number == which % len(names)
            new.writestr(name, edited(content, edits) if damaged else content)
    return file.getvalue()


_ZIPPED = _checkpoint(True)


def _read_weights(name: str) -> Callable[[bytes, Path], None]:
    def read(content: bytes, folder: Path) -> None:
        path = folder / name
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        for tensor in read_tensors(path).values():
            tensor.detach().clone().view(-1)  # reads every byte that it claims

    return read


WEIGHTS: dict[str, Kind] = {
    "safetensors": (
        mutated(lambda: [save(_tensors())], _with_length),
        _read_weights("it.safetensors"),
    ),
    "torch checkpoint": (mutated(lambda: [_ZIPPED]), _read_weights("it.bin")),
    "entry of a checkpoint": (
        lambda _: st.tuples(st.integers(0, 9), EDITS).map(_rewritten),
        _read_weights("it.bin"),
    ),
    "old checkpoint": (mutated(lambda: [_checkpoint(False)]), _read_weights("it.bin")),
}
