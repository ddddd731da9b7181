"""A checkpoint that open_clip wrote, or OpenAI's, becomes a zoo model with both towers."""

import zipfile
from os import PathLike
from pathlib import Path
from typing import Any

import torch

import zoo
from zoo.errors import WeightsError
from zoo.interchange.temperature import loss_for, set_temperature
from zoo.spec import TrainMode
from zoo.weights.read import sha256_of
from zoo.weights.source import WeightsSource
from zoo_openclip.configs import config_of
from zoo_openclip.towers import Part, fill_tower, read_checkpoint

__all__ = ["from_checkpoint"]

_OPENAI = ("input_resolution", "context_length", "vocab_size")
"""Numbers beside the tensors in the state dicts of OpenAI's models."""


def from_checkpoint(
    path: str | PathLike[str],
    config: str,
    *,
    quick_gelu: bool | None = None,
    train: TrainMode = "full",
    device: str | torch.device = "cpu",
) -> zoo.CLIP:
    """A model from a checkpoint file, with the embeddings that open_clip's would give.

    Args:
        path: safetensors, or a torch file, whose pickle is not run.
        config: the name of its config at open_clip, such as `ViT-B-32`.
        quick_gelu: the activation; the config's own when not given, and OpenAI's for their files.
        train: the train mode of both towers.

    Raises:
        UnknownNameError: open_clip has no such config.
        WeightsError: the file is missing or damaged, or does not fit the config.
    """
    path = Path(path)
    width = int(config_of(config)["embed_dim"])
    _refuse_programs(path)
    state = read_checkpoint(path)
    if all(name in state for name in _OPENAI):
        quick_gelu = True if quick_gelu is None else quick_gelu
        state = {name: value for name, value in state.items() if name not in _OPENAI}
    if "logit_scale" not in state:
        raise WeightsError(f"{path}: has no logit_scale, so it is no checkpoint of both towers")
    args = {} if quick_gelu is None else {"quick_gelu": quick_gelu}
    tower = {
        "encoder": {"name": f"openclip/{config}", "args": args},
        "weights": "none",
        "head": "identity",
        "train": train,
    }
    loss = loss_for(state, sigmoid="logit_bias" in state)
    model = zoo.build(
        {"embedding_dim": width, "image": tower, "text": tower, "loss": loss}, device=device
    )
    source = WeightsSource("file", "a checkpoint of open_clip", path.name, None, sha256_of(path))
    sides: tuple[tuple[str, Part], ...] = (("image", "visual"), ("text", "text"))
    for side, part in sides:
        encoder: Any = getattr(model, f"{side}_encoder").encoder
        where = f"{path}, the {part} tower of open_clip's {config}"
        fill_tower(encoder.tower, state, config, part, where)
        model.provenance[f"{side}.encoder"]["weights"] = source.as_json()
    set_temperature(model, state)
    return model


def _refuse_programs(path: Path) -> None:
    """TorchScript, in which OpenAI published its own, is code as well as tensors."""
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such checkpoint")
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        if any(name.endswith("/constants.pkl") for name in archive.namelist()):
            raise WeightsError(
                f"{path}: is a program (TorchScript), which is not run. OpenAI's weights in "
                'safetensors are the tag "openai" of the same config; others are saved by: '
                "torch.save(torch.jit.load(file).state_dict(), other)"
            )
