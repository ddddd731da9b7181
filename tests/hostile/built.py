"""Random specs of small networks, which are built and used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

import zoo
from hostile.damage import Kind
from hostile.repositories import bert
from hostile.specs import ADDRESSES, MODES, VALUES, often

__all__ = ["BUILT"]


def _specs(folder: Path) -> st.SearchStrategy[Any]:
    text = f"hf/{bert(folder / 'bert')}"
    good = folder / "resnet.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), good)
    head = st.sampled_from(["linear", "mlp-gelu", "residual-mlp"])
    image_args = {
        "image_size": often(st.integers(32, 96), VALUES),
        "drop_rate": often(st.floats(0, 0.9), VALUES),
    }
    text_args = {
        "pooling": often(st.sampled_from(["mean", "cls", "last"]), VALUES),
        "context_length": often(st.integers(1, 12), VALUES),
    }
    own = st.sampled_from(["none", f"file:{good}"])
    image = {
        "encoder": _ref("timm/test_resnet", image_args),
        "head": head,
        "weights": often(own, ADDRESSES),
    }
    text_tower = {"encoder": _ref(text, text_args), "head": head}
    weights = often(st.sampled_from(["default", "none"]), st.one_of(ADDRESSES, own))
    return st.fixed_dictionaries(
        {
            "embedding_dim": often(st.integers(1, 64), VALUES),
            "image": st.fixed_dictionaries(image, optional={"train": MODES}),
            "text": st.fixed_dictionaries(
                text_tower, optional={"train": MODES, "weights": weights}
            ),
            "loss": st.just("info-nce"),
        }
    )


def _ref(name: str, args: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {"name": st.just(name), "args": st.fixed_dictionaries({}, optional=args)}
    )


def _read(spec: Any, folder: Path) -> None:
    model = zoo.build(spec)
    if max(model.image_encoder.encoder.preprocess.crop) < 200:
        model.embed_images(Image.new("RGB", (40, 30)))
    model.embed_texts(["a cat"])


BUILT: dict[str, Kind] = {"spec, built": (_specs, _read)}
