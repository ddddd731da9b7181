"""Many texts as tokens, made once: keys of them, and batches of one length without padding."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["Tokens"]

_AT_ONCE = 1024


class Tokens:
    """The tokens of many texts, each up to the last that its mask lets through.

    What follows is padding, which changes no features (a contract of text encoders). A tokenizer that
    pads even a text alone is taken to mean it: then nothing is cut.

    Args:
        tokenize: texts to `input_ids` and `attention_mask`.
        texts: what to tokenize; each once.
    """

    def __init__(
        self,
        tokenize: Callable[[Sequence[str]], Mapping[str, Int[Tensor, "batch length"]]],
        texts: Sequence[str],
        progress: Callable[[int], None] | None = None,
    ) -> None:
        ids, masks, lengths = [], [], []
        alone = tokenize(["a"])["attention_mask"]
        padded = not alone[0, -1]
        for start in range(0, len(texts), _AT_ONCE):
            said = tokenize(texts[start : start + _AT_ONCE])
            rows = said["input_ids"].cpu().numpy()
            mask = said["attention_mask"].cpu().numpy() != 0
            width = mask.shape[1]
            length = width - np.argmax(mask[:, ::-1], axis=1)
            if padded:
                length = np.full(len(rows), width)
            inside = np.arange(width) < length[:, None]
            ids.append(rows[inside].astype(np.int64))
            masks.append(mask[inside])
            lengths.append(length)
            if progress:
                progress(min(start + _AT_ONCE, len(texts)))
        self._ids, self._masks = np.concatenate(ids), np.concatenate(masks)
        self.lengths = np.concatenate(lengths)
        self._ends = np.cumsum(self.lengths)

    def keys(self) -> list[bytes]:
        """For each text, a hash of its ids and mask: texts of the same tokens have the same."""
        found = []
        ids, masks = memoryview(self._ids.tobytes()), memoryview(self._masks.tobytes())
        start = 0
        for stop in self._ends.tolist():
            digest = hashlib.sha256(ids[8 * start : 8 * stop])
            digest.update(masks[start:stop])
            found.append(digest.digest())
            start = stop
        return found

    def batches(self, wanted: Sequence[int], size: int) -> list[list[int]]:
        """Texts in groups of at most `size` of one length, the shortest first."""
        by_length: dict[int, list[int]] = {}
        for index in wanted:
            by_length.setdefault(int(self.lengths[index]), []).append(index)
        return [
            group[start : start + size]
            for _, group in sorted(by_length.items())
            for start in range(0, len(group), size)
        ]

    def batch(self, indices: Sequence[int]) -> dict[str, Int[Tensor, "batch length"]]:
        """The tokens of texts of one length, as a text encoder takes them."""
        length = int(self.lengths[indices[0]])
        places = (self._ends[np.asarray(indices)] - length)[:, None] + np.arange(length)
        return {
            "input_ids": torch.from_numpy(self._ids[places]),
            "attention_mask": torch.from_numpy(self._masks[places].astype(np.int64)),
        }
