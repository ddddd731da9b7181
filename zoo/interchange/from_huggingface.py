"""A dual encoder of transformers becomes a zoo model."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.assembly import build
from zoo.errors import ArgumentError, WeightsError
from zoo.interchange.temperature import loss_for, set_temperature
from zoo.weights.hub import HubFiles, hub_files, read_json, weight_map
from zoo.weights.read import read_tensors
from zoo.weights.record import recorded_if_usable

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PretrainedConfig

    from zoo.clip import CLIP
    from zoo.spec import TrainMode

__all__ = ["KINDS", "from_huggingface"]

KINDS = {
    "clip": "CLIPModel",
    "siglip": "SiglipModel",
    "vision-text-dual-encoder": "VisionTextDualEncoderModel",
}
_HEADS = {"image": "visual_projection.weight", "text": "text_projection.weight"}


@recorded_if_usable()
def from_huggingface(
    source: str | PathLike[str],
    *,
    revision: str | None = None,
    train: TrainMode = "full",
    device: str | torch.device = "cpu",
) -> CLIP:
    """A `CLIPModel`, `SiglipModel` or `VisionTextDualEncoderModel` as a model of zoo's.

    The towers give the same embeddings, the tokenizer and the preprocessing come along, and the loss
    starts at the checkpoint's temperature: `siglip`, with the checkpoint's bias, for a SigLIP model,
    and `info-nce` for others.

    Args:
        source: a folder, or a repository `owner/name`.
        revision: commit, branch or tag of the repository; a folder has none.
        train: the train mode of both towers.

    Raises:
        ArgumentError: it is a model of another kind, or a folder is given a revision.
        WeightsError: a file is missing or damaged, or weights do not fit.
    """
    from zoo.encoders.hf_backbone import read_config

    source = fspath(source)
    files = hub_files(source, revision)
    config = read_json(files.file("config.json"))
    kind = config.get("model_type")
    if kind not in KINDS:
        raise ArgumentError(
            f"{source!r} has a model of the type {kind!r}; what becomes a zoo model is "
            f"{', '.join(KINDS.values())}. Encoders on their own go into a spec, as hf/{source}"
        )
    dual = kind == "vision-text-dual-encoder"
    extra = _tensors(files, ["logit_scale", "logit_bias", *(_HEADS.values() if dual else ())])
    sigmoid = kind == "siglip"
    missing = {
        "logit_scale",
        *(["logit_bias"] if sigmoid else ()),
        *(_HEADS.values() if dual else ()),
    } - extra.keys()
    if missing:
        raise WeightsError(f"{source!r}: its weights have no {min(missing)}")
    for name in set(_HEADS.values()) & extra.keys():
        if extra[name].ndim != 2:
            raise WeightsError(
                f"{source!r}: {name} has shape {tuple(extra[name].shape)}, and is a matrix"
            )
    args = {"revision": files.revision} if files.revision else {}
    tower = {
        "encoder": {"name": f"hf/{source}", "args": args},
        "head": "linear" if dual else "identity",
        "train": train,
    }
    model = build(
        {
            "embedding_dim": len(extra[_HEADS["image"]])
            if dual
            else _width(read_config(files), files.file("config.json")),
            "image": tower,
            "text": tower,
            "loss": loss_for(extra, sigmoid=sigmoid),
        },
        device=device,
    )
    if dual:
        for side, name in _HEADS.items():
            head: Any = getattr(model, f"{side}_encoder").head
            _copy(head.proj.weight, extra[name], f"{source}: {name}")
    set_temperature(model, extra)
    return model


def _width(config: PretrainedConfig, where: Path) -> int:
    """The embedding dimension that a config implies, its halves having defaults of their own."""
    clip = config.model_type == "clip"
    width = config.projection_dim if clip else config.vision_config.hidden_size
    if not isinstance(width, int) or width < 1:
        raise WeightsError(f"{where}: says that the width of embeddings is {width!r}")
    return width


def _copy(parameter: Tensor, value: Tensor, where: str) -> None:
    if parameter.shape != value.shape:
        raise WeightsError(
            f"{where} has shape {tuple(value.shape)}, and the model's has {tuple(parameter.shape)}"
        )
    parameter.data.copy_(value)


def _tensors(files: HubFiles, names: list[str]) -> dict[str, Tensor]:
    """Some tensors of a checkpoint, in one file or several."""
    assert files.weights is not None
    if files.weights.endswith(".index.json"):
        parts = weight_map(files.file(files.weights))
        found = {name: read_tensors(files.file(parts[name])) for name in names if name in parts}
        return {name: tensors[name] for name, tensors in found.items()}
    whole = read_tensors(files.file(files.weights))
    return {name: whole[name] for name in names if name in whole}
