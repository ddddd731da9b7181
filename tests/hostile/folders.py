"""Saved models with one of their files damaged, and its hash made right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from PIL import Image

import zoo
from hostile.damage import Kind, damaged_json, mutated
from hostile.repositories import bert, clip
from zoo.weights.read import sha256_of

__all__ = ["FOLDERS"]


def _image_tower(folder: Path) -> Path:
    if not (folder / "model").exists():
        overrides = {
            "image.encoder": "timm/test_resnet", "image.head": "linear", "embedding_dim": 8,
        }  # fmt: skip
        model = zoo.build("resnet50-clip", pretrained=False, towers=("image",), overrides=overrides)
        zoo.save(model, folder / "model")
    return folder / "model"


def _both_towers(folder: Path) -> Path:
    """A model whose encoders have small files of their own."""
    if not (folder / "both").exists():
        overrides = {
            "image.encoder": f"hf/{clip(folder / 'clip')}", "image.head": "linear",
            "text.encoder": f"hf/{bert(folder / 'bert')}", "text.head": "linear",
            "embedding_dim": 8,
        }  # fmt: skip
        model = zoo.build("resnet50-clip", overrides=overrides)
        zoo.save(model, folder / "both", self_contained=True)
    return folder / "both"


def _read(saved: Path, name: str, content: bytes) -> None:
    whole = (saved / name).read_bytes()
    manifest = (saved / "zoo.json").read_bytes()
    try:
        (saved / name).unlink()
        (saved / name).write_bytes(content)
        if name != "zoo.json":
            table = json.loads(manifest)
            if name in table["files"]:
                table["files"][name] = sha256_of(saved / name)
            else:
                table["tensors_sha256"] = sha256_of(saved / name)
            (saved / "zoo.json").write_text(json.dumps(table))
        model = zoo.load(saved)
        if model.image_encoder is not None:
            model.embed_images(Image.new("RGB", (20, 20)))
        if model.text_encoder is not None:
            model.embed_texts(["a cat"])
    finally:
        (saved / name).write_bytes(whole)
        (saved / "zoo.json").write_bytes(manifest)


def _bytes_of(make: Callable[[Path], Path], name: str) -> Kind:
    def things(folder: Path):
        return mutated(lambda: [(make(folder) / name).read_bytes()])(folder)

    return things, lambda content, folder: _read(make(folder), name, content)


def _values_of(make: Callable[[Path], Path], name: str) -> Kind:
    things = damaged_json(lambda folder: [(make(folder) / name).read_bytes()])
    return things, lambda content, folder: _read(make(folder), name, content)


FOLDERS: dict[str, Kind] = {
    "zoo.json": _bytes_of(_image_tower, "zoo.json"),
    "values of zoo.json": _values_of(_both_towers, "zoo.json"),
    "model.safetensors": _bytes_of(_image_tower, "model.safetensors"),
    **{
        f"saved {name}": _values_of(_both_towers, name)
        for name in (
            "image.encoder/config.json",
            "image.encoder/preprocessor_config.json",
            "text.encoder/config.json",
            "text.encoder/tokenizer.json",
            "text.encoder/tokenizer_config.json",
        )
    },
}
