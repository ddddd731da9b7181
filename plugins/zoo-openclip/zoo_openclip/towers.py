"""One tower of an open_clip model, without the other, and its weights from a checkpoint of both."""

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import torch
from open_clip.convert import convert_state_dict
from open_clip.factory import load_state_dict
from open_clip.model import (
    _build_text_tower,
    _build_vision_tower,
    convert_to_custom_text_state_dict,
    resize_pos_embed,
    resize_text_pos_embed,
)
from safetensors import SafetensorError
from torch import Tensor, nn

from zoo.errors import WeightsError, first_line
from zoo.weights.read import load_strictly
from zoo.weights.source import WeightsSource
from zoo_openclip.checkpoint import find_checkpoint
from zoo_openclip.configs import config_of

__all__ = ["Part", "build_tower", "fill_tower", "pretrained_tower", "read_checkpoint"]

Part = Literal["visual", "text"]
"""The towers, by the names they have in open_clip's models and checkpoints."""

_UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    StopIteration,
    pickle.UnpicklingError,
    SafetensorError,
)


def build_tower(name: str, part: Part, quick_gelu: bool) -> Any:
    """A tower with random weights, that gives projected features and nothing beside them.

    Raises:
        WeightsError: a text tower of transformers', whose config is neither cached nor to be had.
    """
    config = config_of(name)
    if part == "visual":
        vision = {**config["vision_cfg"], "timm_model_pretrained": False, "output_tokens": False}
        return _build_vision_tower(config["embed_dim"], vision, quick_gelu)
    text = {**config["text_cfg"], "hf_model_pretrained": False, "output_tokens": False}
    try:
        return _build_text_tower(config["embed_dim"], text, quick_gelu)
    except OSError as error:
        repository = text.get("hf_model_name")
        raise WeightsError(
            f"the text tower of open_clip's {name} is the {repository!r} of transformers, and "
            f"config.json of that repository is not cached and cannot be fetched: "
            f"{first_line(error)}. With network, bring it by: hf download {repository} config.json"
        ) from error


def pretrained_tower(
    name: str, tag: str, part: Part, quick_gelu: bool
) -> tuple[Any, WeightsSource]:
    """A tower with a tag's weights: every tensor of it must be there and fit.

    Returns:
        The tower, and where its weights came from.

    Raises:
        WeightsError: the checkpoint is missing or damaged, or does not fit.
    """
    path, source = find_checkpoint(name, tag)
    tower = build_tower(name, part, quick_gelu)
    where = f"{path}, the {part} tower of open_clip's {name} with {tag!r}"
    fill_tower(tower, read_checkpoint(path), name, part, where)
    return tower, source


def fill_tower(
    tower: nn.Module, state: dict[str, Tensor], name: str, part: Part, where: str
) -> None:
    """Load a tower of a config from a checkpoint of both.

    Raises:
        WeightsError: it does not fit; the message starts with `where`.
    """
    try:
        fitting = _of_tower(state, name, part, tower)
    except (AssertionError, LookupError, RuntimeError, ValueError) as error:
        raise WeightsError(
            f"{where}: the weights do not fit the model: {first_line(error)}"
        ) from error
    load_strictly(tower, fitting, where)


def _of_tower(
    state: dict[str, Tensor], name: str, part: Part, tower: nn.Module
) -> dict[str, Tensor]:
    """A tower's tensors by its own names, from any layout that open_clip reads, as it reads it."""
    # Apple's own checkpoints tell by the image tower how they are to be converted.
    if any(key.startswith("image_encoder.") for key in state):
        state = convert_state_dict(SimpleNamespace(visual=_visual(name, part, tower)), state)
    if "positional_embedding" in state:  # the layout in which the text tower has no prefix
        state = convert_to_custom_text_state_dict(state)
    mine = {key: tensor for key, tensor in state.items() if key.startswith(f"{part}.")}
    mine.pop("text.transformer.embeddings.position_ids", None)  # of transformers < 4.31
    resize = resize_pos_embed if part == "visual" else resize_text_pos_embed
    resize(mine, SimpleNamespace(**{part: tower}))
    return {key.removeprefix(f"{part}."): tensor for key, tensor in mine.items()}


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint in any layout that open_clip reads, without running its pickle.

    Raises:
        WeightsError: it is damaged, or holds more than tensors.
    """
    try:
        state: Any = load_state_dict(str(path), weights_only=True)
        faulty = [key for key, value in state.items() if not isinstance(value, Tensor)]
    except _UNREADABLE as error:
        raise WeightsError(
            f"{path}: not a whole checkpoint of open_clip: {first_line(error)}. Delete it and let it "
            "be fetched again"
        ) from error
    if faulty:
        raise WeightsError(f"{path}: {faulty[0]!r} is not a tensor")
    return dict(state)


def _visual(name: str, part: Part, tower: nn.Module) -> nn.Module:
    if part == "visual":
        return tower
    with torch.device("meta"):
        built: nn.Module = build_tower(name, "visual", False)
    return built
