"""Features of frozen encoders: computed once, kept on disk under a key of all that matters."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from zoo.cache import cache_folder
from zoo.clip import CLIP, evaluating
from zoo.data.held import Held
from zoo.data.pictures import open_picture
from zoo.encoders.preprocess import Preprocess
from zoo.errors import DataError
from zoo.training.precision import Precision, autocast, choose
from zoo.weights.read import sha256_of, state_sha256

__all__ = ["Progress", "image_features", "prefetched", "text_features"]

Progress = Callable[[str, int, int], None]
"""Told `(what is being done, how many are done, of how many)`."""

_IMAGES_AT_ONCE = 16
_TEXTS_AT_ONCE = 128
_T = TypeVar("_T")


def image_features(
    model: CLIP,
    pictures: Sequence[Path | Held],
    progress: Progress | None = None,
    *,
    precision: Precision = "auto",
    workers: int = 2,
) -> Float[Tensor, "count ..."]:
    """What the image encoder, in eval mode, says of each picture; before the head.

    On disk if the encoder is frozen; computed each time if not.

    Raises:
        DataError: a picture cannot be read; the message names it.
    """
    tower: Any = model.image_encoder
    tower.to(memory_format=torch.channels_last)
    encoder = tower.encoder
    device = next(tower.parameters()).device
    chosen = choose(precision, device)

    def read(path: Path | Held) -> Tensor:
        tensor: Tensor = encoder.preprocess(open_picture(path))
        return tensor

    def compute(missing: list[int]) -> Iterator[Tensor]:
        with ThreadPoolExecutor(workers) as pool:

            def start(batch: Sequence[int]) -> list[Future[Tensor]]:
                return [pool.submit(read, pictures[index]) for index in batch]

            for reading in prefetched(start, _batches(missing, _IMAGES_AT_ONCE)):
                stacked = torch.stack([future.result() for future in reading])
                stacked = stacked.to(device, memory_format=torch.channels_last)
                with autocast(chosen, device):
                    yield tower.features(stacked)

    keys = [_file_sha256(path) for path in pictures]
    return _Cache(model, "image", chosen).fill(keys, compute, "image features", progress)


def text_features(
    model: CLIP,
    texts: Sequence[str],
    progress: Progress | None = None,
    *,
    precision: Precision = "auto",
) -> Float[Tensor, "count features"]:
    """What the text encoder, in eval mode, says of each text; before the head.

    On disk if the encoder is frozen; computed each time if not.
    """
    tower: Any = model.text_encoder
    device = next(tower.parameters()).device
    chosen = choose(precision, device)

    def compute(missing: list[int]) -> Iterator[Tensor]:
        for batch in _batches(missing, _TEXTS_AT_ONCE):
            tokens = model.tokenize([texts[index] for index in batch])
            with autocast(chosen, device):
                yield tower.features(**{name: ids.to(device) for name, ids in tokens.items()})

    keys = []
    for batch in _batches(texts, _TEXTS_AT_ONCE):
        tokens = model.tokenize(batch)
        for ids, mask in zip(tokens["input_ids"], tokens["attention_mask"], strict=True):
            keys.append(hashlib.sha256(ids[mask.bool()].numpy().tobytes()).hexdigest())
    return _Cache(model, "text", chosen).fill(keys, compute, "text features", progress)


def prefetched(
    start: Callable[[_T], list[Future[Tensor]]], items: Sequence[_T]
) -> Iterator[list[Future[Tensor]]]:
    """Start work on the next two items while the present one is in use."""
    running = [start(item) for item in items[:2]]
    for index in range(len(items)):
        yield running.pop(0)
        if index + 2 < len(items):
            running.append(start(items[index + 2]))


class _Cache:
    """Rows of features on disk, each under the hash of its input.

    The folder's name is a hash of all that could change a row: the component with its arguments
    and origin, weights, preprocessing, precision, library versions. A run adds one file with what
    it computed; files appear whole, and two runs that compute the same rows do each other no harm.
    """

    def __init__(self, model: CLIP, side: Literal["image", "text"], precision: str) -> None:
        self.tower: Any = getattr(model, f"{side}_encoder")
        self.folder: Path | None = None
        if "encoder" not in self.tower.frozen_parts or model.spec is None:
            return
        encoder = self.tower.encoder
        preprocess = getattr(encoder, "preprocess", None)
        said = {
            "component": getattr(model.spec, side).encoder.model_dump(mode="json"),
            "origin": model.provenance[f"{side}.encoder"],
            "weights": state_sha256(encoder),
            "architecture": str(encoder),
            "preprocess": preprocess.as_json()
            if isinstance(preprocess, Preprocess)
            else str(preprocess),
            "tokens": getattr(self.tower.head, "takes_tokens", False),
            "precision": precision,
            "versions": [
                version(name) for name in ("torch", "torchvision", "timm", "transformers")
            ],
        }
        key = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
        self.folder = cache_folder("features", key)

    def fill(
        self,
        keys: Sequence[str],
        compute: Callable[[list[int]], Iterator[Tensor]],
        title: str,
        progress: Progress | None,
    ) -> Tensor:
        """A row for every key; those not on disk are computed, given their indices."""
        rows = self._read()
        first = {key: index for index, key in reversed(list(enumerate(keys))) if key not in rows}
        missing = sorted(first.values())
        done: list[Tensor] = []
        with evaluating(self.tower), torch.no_grad():
            for batch in compute(missing) if missing else ():
                done.append(batch.float().cpu())
                if progress:
                    progress(title, sum(map(len, done)), len(missing))
        if missing:
            computed = torch.cat(done)
            self._write([keys[index] for index in missing], computed)
            rows |= {keys[index]: row for index, row in zip(missing, computed, strict=True)}
        return torch.stack([rows[key] for key in keys])

    def _read(self) -> dict[str, Tensor]:
        rows: dict[str, Tensor] = {}
        for path in sorted(self.folder.glob("*.safetensors")) if self.folder else ():
            try:
                with safe_open(path, "pt") as file:
                    keys = json.loads(file.metadata()["keys"])
                    rows |= dict(zip(keys, file.get_tensor("features"), strict=True))
            except (SafetensorError, OSError, ValueError, KeyError, TypeError):
                path.unlink(missing_ok=True)  # damaged: computed again, nothing is lost
        return rows

    def _write(self, keys: list[str], features: Tensor) -> None:
        if self.folder is None:
            return
        handle, draft = tempfile.mkstemp(dir=self.folder, suffix=".part")
        os.close(handle)
        try:
            save_file({"features": features}, draft, {"keys": json.dumps(keys)})
            with open(draft, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(draft, Path(draft).with_suffix(".safetensors"))
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise


def _batches(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _file_sha256(path: Path | Held) -> str:
    try:
        if isinstance(path, Held):
            return hashlib.sha256(path.read()).hexdigest()
        return sha256_of(path)
    except OSError as error:
        raise DataError(f"{path}: the picture cannot be read: {error.strerror}") from error
