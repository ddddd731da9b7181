"""open_clip's tokenizers, with a mask, and no longer than the tower needs."""

from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Int
from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer, SimpleTokenizer
from open_clip.transformer import TextTransformer
from torch import Tensor

from zoo.encoders.tokenizer import check_texts
from zoo.errors import WeightsError, first_line

__all__ = ["OpenCLIPTokenizer"]


class OpenCLIPTokenizer:
    """A config's own tokenizer, read when it is first needed.

    Args:
        config: its name.
        settings: its `text_cfg`.
        tower: the text tower, which tells how it treats padding.
        saved_files: the tokenizer of a saved model, which is read at once.

    Attributes:
        context_length: longest row of ids, special tokens included.
        pad_id: what stands after a text.
        reads: what the tower reads. `to the end token`: nothing after it can be seen. `all but
            padding`: the tower masks it. `padding too`: it was trained on texts of full length.
    """

    reads: Literal["to the end token", "all but padding", "padding too"]

    def __init__(
        self, config: str, settings: dict[str, Any], tower: Any, saved_files: Path | None = None
    ) -> None:
        self.config = config
        self._settings = settings
        self._loaded: Any = None
        self.context_length = int(settings.get("context_length", DEFAULT_CONTEXT_LENGTH))
        if saved_files is not None:
            self._loaded = self._load(str(saved_files))
        if not isinstance(tower, TextTransformer):
            self.reads = "all but padding"
            self.pad_id = int(tower.config.pad_token_id)
            return
        causal = tower.attn_mask is not None and tower.cls_emb is None
        pooled_at_end = tower.pool_type in ("argmax", "eos")
        self.reads = "to the end token" if causal and pooled_at_end else "padding too"
        self._end_id = tower.eos_id if tower.pool_type == "eos" else None
        # SigLIP's first tokenizer has no padding of its own; the configs do not say so.
        hub = str(settings.get("hf_tokenizer_name", "")).lower()
        self.pad_id = 1 if "siglip" in hub and "siglip2" not in hub else tower.pad_id

    def __call__(self, texts: list[str]) -> dict[str, Int[Tensor, "batch length"]]:
        """`input_ids` and `attention_mask`, padded to the longest text given.

        Raises:
            DataError: no texts, or something that is not text.
            WeightsError: the tokenizer's files are missing.
        """
        check_texts(texts)
        ids: Tensor = self.tokenizer(list(texts))
        if self.reads == "to the end token":
            found = ids if self._end_id is None else (ids == self._end_id).int()
            mask = torch.arange(ids.shape[1]) <= found.argmax(dim=1, keepdim=True)
        else:
            mask = (ids != self.pad_id).flip(1).cumsum(dim=1).flip(1) > 0
            mask[:, 0] = True  # of an empty text too
        length = int(mask.sum(dim=1).max())
        return {"input_ids": ids[:, :length], "attention_mask": mask[:, :length].long()}

    @property
    def tokenizer(self) -> Any:
        """open_clip's tokenizer itself."""
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def write(self, folder: Path) -> None:
        """Write the tokenizer's files, where open_clip does not bring them along.

        Raises:
            WeightsError: they are missing.
        """
        if self._settings.get("hf_tokenizer_name"):
            self.tokenizer.tokenizer.save_pretrained(folder)

    def _load(self, folder: str | None = None) -> Any:
        options = self._settings.get("tokenizer_kwargs") or {}
        repository = folder or self._settings.get("hf_tokenizer_name")
        if not repository:
            return SimpleTokenizer(context_length=self.context_length, **options)
        try:
            return HFTokenizer(
                repository,
                context_length=self.context_length,
                tokenizer_mode=self._settings.get("tokenizer_mode"),
                trust_remote_code=False,
                **options,
            )
        except Exception as error:  # of many kinds, for files that are missing in many ways
            raise WeightsError(
                f"the tokenizer of open_clip's {self.config}, of the repository {repository!r}, cannot "
                f"be loaded: {first_line(error)}. With network, bring it by: hf download {repository} "
                "--include '*token*' 'vocab*' 'merges*' '*.model' '*config.json'"
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_loaded": None}
