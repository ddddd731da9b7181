"""Tokenizers: texts to ids and mask, cut to the encoder's context with the end token kept."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from zoo.errors import DataError, WeightsError
from zoo.weights.hub import is_small, read_json

__all__ = ["HFTokenizer", "check_texts"]


class HFTokenizer:
    """A HuggingFace tokenizer, read when it is first needed.

    Args:
        folder: gives the folder of the tokenizer's files, fetching them if need be.
        context_length: longest row of ids, special tokens included.
        fixed_length: make every row that long and attend to its padding too, as SigLIP was trained.
        vocabulary: how many tokens the encoder knows.
    """

    def __init__(
        self,
        folder: Callable[[], Path],
        context_length: int,
        *,
        fixed_length: bool = False,
        vocabulary: int | None = None,
    ) -> None:
        self._folder = folder
        self._fixed_length = fixed_length
        self._vocabulary = vocabulary
        self._loaded: Any = None
        self._kept: dict[str, bytes] | None = None
        self.context_length = context_length

    def __call__(self, texts: list[str]) -> dict[str, Int[Tensor, "batch length"]]:
        """`input_ids` and `attention_mask` (1 on tokens), padded to the longest text given.

        Raises:
            DataError: no texts, or something that is not text.
            WeightsError: the tokenizer's files are missing.
        """
        check_texts(texts)
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
        if self._vocabulary is not None and ids.numel() and int(ids.max()) >= self._vocabulary:
            raise WeightsError(
                f"{self._folder()}: the tokenizer gives the token {int(ids.max())}, and the encoder "
                f"knows {self._vocabulary}; they are not of the same model"
            )
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
            _check_names(folder)
            try:
                self._loaded = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            except Exception as error:  # of many kinds, for files that are damaged in many ways
                raise WeightsError(f"{folder}: no tokenizer can be read here: {error}") from error
            if self._loaded.pad_token is None:  # the mask keeps it from being read
                self._loaded.pad_token = self._loaded.eos_token or self._loaded.unk_token
        return self._loaded

    def keep(self) -> None:
        """Read everything now: the folder may hold another model's files by and by."""
        self._kept = self._small_files()
        _ = self.tokenizer

    def write(self, folder: Path) -> None:
        """Copy the files that the tokenizer, and the config beside it, were read from.

        Raises:
            WeightsError: they are neither here nor to be had.
        """
        kept = self._small_files() if self._kept is None else self._kept
        for name, content in kept.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)

    def _small_files(self) -> dict[str, bytes]:
        home = self._folder()
        files = {path.relative_to(home).as_posix(): path for path in sorted(home.rglob("*"))}
        return {
            name: path.read_bytes()
            for name, path in files.items()
            if is_small(name) and path.is_file()
        }


def check_texts(texts: Sequence[object]) -> None:
    """Refuse what no tokenizer can read.

    Raises:
        DataError: no texts, something that is not text, or half of a surrogate pair.
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


def _check_names(folder: Path) -> None:
    """Refuse a config by which transformers would read a tokenizer from outside its folder."""
    path = folder / "tokenizer_config.json"
    named = read_json(path).get("fast_tokenizer_files", ()) if path.is_file() else ()
    for name in named if isinstance(named, (list, tuple)) else [named]:
        if name != Path(str(name)).name:
            raise WeightsError(f"{path}: names the file {name!r}, which is not beside it")
