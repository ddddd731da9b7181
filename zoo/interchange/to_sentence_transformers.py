"""A text tower becomes a folder that sentence-transformers loads without zoo."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import FolderError
from zoo.folder.swap import drafted
from zoo.modes import check_merged

if TYPE_CHECKING:
    from torch import nn

    from zoo.clip import CLIP

__all__ = ["to_sentence_transformers"]

_PACKAGE = "sentence_transformers.models"
_POOLING = {
    "mean": "pooling_mode_mean_tokens",
    "cls": "pooling_mode_cls_token",
    "last": "pooling_mode_lasttoken",
}
_ACTIVATIONS = "torch.nn.modules"


def to_sentence_transformers(model: CLIP, folder: str | PathLike[str]) -> Path:
    """Write the text tower: a transformer, its pooling, a layer for each of the head's, unit norm.

    Raises:
        FolderError: the folder exists, or sentence-transformers has no modules for the tower.
        WeightsError: the tokenizer cannot be had.
    """
    target = Path(folder)
    if target.exists():
        raise FolderError(f"{target}: exists already; choose another folder")
    tower: Any = model.text_encoder
    encoder = _encoder(tower)
    layers = _layers(tower.head)
    modules = ["Transformer", "Pooling", *["Dense"] * len(layers), "Normalize"]
    places = ["", *(f"{number}_{name}" for number, name in enumerate(modules) if number)]
    with drafted(target, replace=False) as draft:
        encoder.save_files(draft)
        for path in draft.iterdir():
            if path.is_dir():  # of another folder of this kind, which says of its own modules
                for each in path.iterdir():
                    each.unlink()
                path.rmdir()
        encoder.backbone.save_pretrained(draft)
        _write(draft / "sentence_bert_config.json", {"max_seq_length": encoder.context_length})
        named = [
            {"idx": number, "name": str(number), "path": place, "type": f"{_PACKAGE}.{name}"}
            for number, (name, place) in enumerate(zip(modules, places, strict=True))
        ]
        _write(draft / "modules.json", named)
        _write(
            draft / places[1] / "config.json",
            {
                "word_embedding_dimension": encoder.out_dim,
                **{key: pooling == encoder.pooling for pooling, key in _POOLING.items()},
            },
        )
        for place, (linear, activation) in zip(places[2:-1], layers, strict=True):
            _write_dense(draft / place, linear, activation)
        (draft / places[-1]).mkdir()
    return target


def _encoder(tower: Any) -> Any:
    from zoo.encoders.hf_text import HFTextEncoder

    if tower is None:
        raise FolderError("the model has no text tower")
    check_merged(tower, "text")
    if not isinstance(tower.encoder, HFTextEncoder):
        raise FolderError(
            f"text.encoder: {type(tower.encoder).__name__} is no encoder of transformers; "
            "sentence-transformers takes hf/…"
        )
    if tower.encoder.pooling not in _POOLING:
        raise FolderError(
            f"text.encoder: pools by {tower.encoder.pooling or 'itself'}, and sentence-transformers by "
            f"{', '.join(_POOLING)}"
        )
    return tower.encoder


def _layers(head: nn.Module) -> list[tuple[nn.Linear, str]]:
    """The head as linear layers, each with what follows it."""
    from zoo.heads.identity import IdentityHead
    from zoo.heads.linear import LinearHead
    from zoo.heads.mlp_gelu import MLPHead

    if isinstance(head, IdentityHead):
        return []
    if isinstance(head, LinearHead):
        return [(head.proj, "linear.Identity")]
    if isinstance(head, MLPHead) and head.scale is None:
        return [(head.fc1, "activation.GELU"), (head.fc2, "linear.Identity")]
    raise FolderError(
        f"text.head: {type(head).__name__} cannot be said in sentence-transformers' layers; "
        "'identity', 'linear' and 'mlp-gelu' (without normalize) can"
    )


def _write_dense(folder: Path, linear: nn.Linear, activation: str) -> None:
    from safetensors.torch import save_file

    settings = {
        "in_features": linear.in_features,
        "out_features": linear.out_features,
        "bias": linear.bias is not None,
        "activation_function": f"{_ACTIVATIONS}.{activation}",
    }
    _write(folder / "config.json", settings)
    state = {
        f"linear.{name}": tensor.detach().cpu().contiguous()
        for name, tensor in linear.state_dict().items()
    }
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def _write(path: Path, data: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
