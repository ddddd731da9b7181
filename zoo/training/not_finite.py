"""The batch whose loss is no number, kept so that somebody can look at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from zoo.errors import DataError, first_line
from zoo.training.feed import Batch
from zoo.training.packing import plain
from zoo.training.run_folder import write_json

__all__ = ["keep_batch"]


def keep_batch(
    folder: Path, batch: Batch, named: Sequence[tuple[str, str]], step: int, error: DataError
) -> None:
    """Write `batch.json` and `batch.safetensors`, and say so in the error; or why it cannot be.

    Args:
        named: picture and caption of each row.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ids = zip(batch.image_ids.tolist(), batch.text_ids.tolist(), strict=True)
        rows = [
            {"picture": picture, "caption": caption, "image_id": image, "text_id": text}
            for (picture, caption), (image, text) in zip(named, ids, strict=True)
        ]
        save_file(plain(_tensors(batch)), folder / "batch.safetensors")
        write_json(folder / "batch.json", {"step": step, "error": first_line(error), "rows": rows})
    except Exception as failure:  # it is the error at hand that has to be told
        error.args = (f"{error}. Its batch cannot be kept in {folder}: {first_line(failure)}",)
        return
    error.args = (f"{error}. Its batch is kept in {folder}",)


def _tensors(batch: Batch) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for field in fields(batch):
        value: Any = getattr(batch, field.name)
        if isinstance(value, Tensor):
            found[field.name] = value
        elif isinstance(value, Mapping):
            found |= {f"{field.name}.{name}": each for name, each in value.items()}
    return found
