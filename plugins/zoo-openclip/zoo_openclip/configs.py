"""What open_clip says of a config and of its tags: architecture, activation, preprocessing."""

from typing import Any

import open_clip
from open_clip.transform import PreprocessCfg, merge_preprocess_dict

from zoo import Preprocess
from zoo.errors import ArgumentError, UnknownNameError, suggestion

__all__ = ["activation", "config_of", "preprocess_of", "tag_settings", "tags_of"]


def config_of(name: str) -> dict[str, Any]:
    """The architecture of a config, as a copy.

    Raises:
        UnknownNameError: open_clip has no such config.
    """
    names = open_clip.list_models()
    if name not in names:
        raise UnknownNameError(f"open_clip has no config {name!r}.{suggestion(name, names)}")
    config: dict[str, Any] = open_clip.get_model_config(name)
    return config


def tags_of(name: str) -> list[str]:
    """The pretrained tags of a config; there is none that open_clip would call the default.

    Raises:
        UnknownNameError: open_clip has no such config.
    """
    config_of(name)
    tags: list[str] = open_clip.list_pretrained_tags_by_model(name)
    return tags


def tag_settings(name: str, tag: str | None) -> dict[str, Any]:
    """Where a tag's weights are and how they were trained; nothing for random weights."""
    settings: dict[str, Any] = open_clip.get_pretrained_cfg(name, tag) if tag else {}
    return settings


def activation(name: str, tag: str | None, asked: bool | None) -> bool:
    """Whether a tower has QuickGELU, OpenAI's approximation of GELU.

    open_clip says so of a config or of a tag, and never says the contrary: either is enough. Its
    own `create_model` follows the config alone, and only warns of a tag trained otherwise.

    Raises:
        ArgumentError: the other activation was asked for than the weights were trained with.
    """
    trained = bool(
        config_of(name).get("quick_gelu") or tag_settings(name, tag).get("quick_gelu", False)
    )
    if asked is None or tag is None:
        return trained if asked is None else asked
    if asked != trained:
        raise ArgumentError(
            f"open_clip's {name} with the weights {tag!r} was trained with "
            f"{'QuickGELU' if trained else 'GELU'}: quick_gelu = {str(asked).lower()} would give other "
            "features. Leave quick_gelu out"
        )
    return trained


def preprocess_of(name: str, tag: str | None, size: int | tuple[int, int]) -> Preprocess:
    """open_clip's evaluation preprocessing of a tag, or its usual one for random weights.

    Args:
        size: side, or height and width, in pixels of what the tower sees.

    Raises:
        UnknownNameError: a way of resizing that zoo does not have.
    """
    said = PreprocessCfg(**merge_preprocess_dict(PreprocessCfg(), tag_settings(name, tag)))
    height, width = (size, size) if isinstance(size, int) else size
    squash = said.resize_mode == "squash"
    if not squash and (said.resize_mode != "shortest" or height != width):
        raise UnknownNameError(
            f"open_clip's {name} with the weights {tag!r} resizes pictures to {height}x{width} in the "
            f"mode {said.resize_mode!r}, which is not supported"
        )
    if said.interpolation not in ("bilinear", "bicubic"):
        raise UnknownNameError(
            f"open_clip's {name} with the weights {tag!r} resizes pictures with the interpolation "
            f"{said.interpolation!r}, which is not supported"
        )
    return Preprocess(
        resize=(height, width) if squash else height,
        crop=(height, width),
        interpolation=said.interpolation,
        mean=tuple(said.mean),
        std=tuple(said.std),
    )
