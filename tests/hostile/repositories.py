"""Small models of transformers in folders, with one of their small files damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
import transformers as hf
from PIL import Image
from transformers.utils import logging

import zoo
from hostile.damage import Kind, damaged_json

__all__ = ["REPOSITORIES", "bert", "clip"]

_SIZE = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat"]


def bert(folder: Path) -> Path:
    """A text encoder."""
    if not folder.exists():
        torch.manual_seed(1)
        config = hf.BertConfig(**_SIZE, vocab_size=len(_WORDS), max_position_embeddings=12)
        _write(hf.BertModel(config), folder)
    return folder


def clip(folder: Path) -> Path:
    """Both halves of a CLIP, its weights in two files."""
    if not folder.exists():
        torch.manual_seed(2)
        config = hf.CLIPConfig(
            text_config={
                **_SIZE, "vocab_size": len(_WORDS), "max_position_embeddings": 12, "eos_token_id": 3,
                "projection_dim": 8,
            },
            vision_config={**_SIZE, "image_size": 16, "patch_size": 8, "projection_dim": 8},
            projection_dim=8,
        )  # fmt: skip
        _write(hf.CLIPModel(config), folder, max_shard_size="8KB")
        processor = hf.CLIPImageProcessor(
            size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
        )
        (folder / "preprocessor_config.json").write_text(json.dumps(processor.to_dict()))
    return folder


def _write(model: hf.PreTrainedModel, folder: Path, **options: str) -> None:
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    model.save_pretrained(folder, **options)
    (folder / "vocab.txt").write_text("\n".join(_WORDS))
    hf.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)


def _read_bert(folder: Path) -> None:
    model = zoo.build(
        "resnet50-clip",
        towers=("text",),
        overrides={"text.encoder": f"hf/{folder}", "text.head": "linear", "embedding_dim": 8},
    )
    model.embed_texts(["a cat"])


def _read_clip(folder: Path) -> None:
    model = zoo.from_huggingface(folder)
    model.embed_texts(["a cat"])
    model.embed_images(Image.new("RGB", (20, 20)))


def _one(make: Callable[[Path], Path], read: Callable[[Path], None], name: str) -> Kind:
    def whole(folder: Path) -> list[bytes]:
        return [(make(folder / make.__name__) / name).read_bytes()]

    def read_damaged(content: bytes, folder: Path) -> None:
        repository = make(folder / make.__name__)
        before = (repository / name).read_bytes()
        try:
            (repository / name).write_bytes(content)
            read(repository)
        finally:
            (repository / name).write_bytes(before)

    return damaged_json(whole), read_damaged


REPOSITORIES: dict[str, Kind] = {
    "config.json": _one(bert, _read_bert, "config.json"),
    "tokenizer.json": _one(bert, _read_bert, "tokenizer.json"),
    "tokenizer_config.json": _one(bert, _read_bert, "tokenizer_config.json"),
    "config.json of a CLIP": _one(clip, _read_clip, "config.json"),
    "preprocessor_config.json": _one(clip, _read_clip, "preprocessor_config.json"),
    "index of weights": _one(clip, _read_clip, "model.safetensors.index.json"),
}
