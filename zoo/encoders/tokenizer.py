"""Tokenizers: texts to ids and mask, cut to the encoder's context with the end token kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from zoo.errors import DataError, WeightsError

__all__ = ["HFTokenizer"]


class HFTokenizer:
    """A HuggingFace tokenizer, read when it is first needed.

    Args:
        folder: gives the folder of the tokenizer's files, fetching them if need be.
        context_length: longest row of ids, special tokens included.
        fixed_length: make every row that long and attend to its padding too, as SigLIP was trained.
    """

    def __init__(
        self, folder: Callable[[], Path], context_length: int, *, fixed_length: bool = False
    ) -> None:
        self._folder = folder
        self._fixed_length = fixed_length
        self._loaded: Any = None
        self.context_length = context_length

    def __call__(self, texts: list[str]) -> dict[str, Int[Tensor, "batch length"]]:
        """`input_ids` and `attention_mask` (1 on tokens), padded to the longest text given.

        Raises:
            DataError: no texts, or something that is not text.
            WeightsError: the tokenizer's files are missing.
        """
        for text in texts:
            if not isinstance(text, str):
                raise DataError(f"a text is a str, not {text!r}")
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise DataError(
                    f"the text {text[:80]!r} has half a character at position {error.start}; read "
                    "the file it comes from as UTF-8"
                ) from error
        if not texts:
            raise DataError("there are no texts to tokenize")
        encoded = self.tokenizer(
            texts,
            padding="max_length" if self._fixed_length else "longest",
            # On the left it would shift the positions that most models count from there.
            padding_side=None if self._fixed_length else "right",
            truncation=True,
            max_length=self.context_length,
            return_attention_mask=True,  # SigLIP's does not of itself
            return_tensors="pt",
        )
        ids, mask = encoded["input_ids"], encoded["attention_mask"]
        if self._fixed_length:
            return {"input_ids": ids, "attention_mask": torch.ones_like(mask)}
        if ids.shape[1] == 0:
            ids = torch.full((len(texts), 1), self.tokenizer.pad_token_id)
            mask = torch.zeros_like(ids)
        # An empty text has no token at all where a model has none for start and end: it gets one.
        mask[mask.sum(1) == 0, 0] = 1
        return {"input_ids": ids, "attention_mask": mask}

    @property
    def tokenizer(self) -> Any:
        """The HuggingFace tokenizer itself."""
        if self._loaded is None:
            from transformers import AutoTokenizer

            folder = self._folder()
            try:
                self._loaded = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            except Exception as error:  # of many kinds, for files that are damaged in many ways
                raise WeightsError(f"{folder}: no tokenizer can be read here: {error}") from error
            if self._loaded.pad_token is None:  # the mask keeps it from being read
                self._loaded.pad_token = self._loaded.eos_token or self._loaded.unk_token
        return self._loaded
