"""Tokens by zoo beside those of each family's own tokenizer, for odd texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import transformers

from zoo.encoders import hf_text

__all__ = ["ODD", "TOKENIZERS", "tokens_of_odd_texts"]

ODD = {
    "empty": "",
    "white space": " \n\t\u00a0\u3000 ",
    "emoji": "🐶👩🏽‍🚀👨‍👩‍👧‍👦🇺🇳 ok",
    "10,000 letters": "x" * 10_000,
    "2,000 words": "a photograph of a cat " * 400,
    "mixed scripts": "naïve Ελλάδα Москва ערב טוב مرحبا 日本語 한국어 ไทย हिन्दी 𝕏𐍈",
    "combining": "e\u0301 A\u030a \u200bzero\u200dwidth \ufeffmark ﬁ ẞ İ",
    "control": "a\x00b\x07c\x1b[0m\r\n",
    "special tokens": "[CLS] [SEP] <s> </s> <|endoftext|> <|startoftext|> <pad> [PAD] <extra_id_0>",
    "html": "&lt;b&gt;cat&amp;dog&lt;/b&gt; it&#39;s",
}

TOKENIZERS = {
    "openai-clip": ("CLIPTokenizer", 77),
    "siglip": ("SiglipTokenizer", 16),
    "bert": ("BertTokenizer", 40),
    "distilbert": ("DistilBertTokenizer", 40),
    "mpnet": ("MPNetTokenizer", 38),
    "roberta": ("RobertaTokenizer", 40),
    "xlm-roberta": ("XLMRobertaTokenizer", 40),
    "t5": ("T5Tokenizer", 40),
    "modernbert": ("PreTrainedTokenizerFast", 64),
}
"""The class of each family, and its longest text."""


def tokens_of_odd_texts(family: str, folder: Path) -> Iterator[tuple[str, list[int], list[int]]]:
    """The name of each text, and its ids by zoo, in one batch, and by the family's class, alone.

    Padding is compared where the encoder reads it, and left out elsewhere.
    """
    name, limit = TOKENIZERS[family]
    own = getattr(transformers, name).from_pretrained(folder)
    tokenizer = hf_text.create(str(folder), weights=None).tokenizer
    assert tokenizer.context_length == limit
    together = tokenizer(list(ODD.values()))
    for row, (title, text) in enumerate(ODD.items()):
        theirs = own(text, truncation=True, max_length=limit)["input_ids"]
        if family == "siglip":
            theirs = theirs + [own.pad_token_id] * (limit - len(theirs))
        kept = together["attention_mask"][row].bool()
        assert (together["input_ids"][row][~kept] == own.pad_token_id).all()
        yield title, together["input_ids"][row][kept].tolist(), theirs
