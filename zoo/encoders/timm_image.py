"""Image encoders from timm: any architecture, with the preprocessing of its weights."""

import math
from typing import Any

import timm
from timm.data.config import resolve_data_config
from timm.models import PretrainedCfg
from torch import nn

from zoo.encoders.image import ImageEncoder
from zoo.encoders.preprocess import Preprocess
from zoo.errors import UnknownNameError, WeightsError, suggestion
from zoo.weights.source import WeightsSource

__all__ = ["create", "preprocess_of"]


def create(
    architecture: str,
    *,
    weights: str | None = "default",
    image_size: int | None = None,
    drop_rate: float = 0.0,
    drop_path_rate: float | None = None,
) -> ImageEncoder:
    """Any architecture of `timm.list_models()`, bare or with a tag (`convnext_tiny.fb_in1k`).

    Args:
        weights: a tag of the architecture, `default`, or None for random ones.
        image_size: side of the input in pixels, where not the weights' own.
        drop_rate: dropout probability, where the architecture has dropout.
        drop_path_rate: stochastic depth probability, where the architecture has it.

    Raises:
        UnknownNameError: timm has no such architecture, or it no such tag.
        WeightsError: the weights are neither cached nor to be had, or damaged.
    """
    name, _, tag = architecture.partition(".")
    if not timm.is_model(name):
        raise UnknownNameError(
            f"timm has no architecture {name!r}.{suggestion(name, timm.list_models())}"
        )
    if weights not in (None, "default"):
        tag = weights
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{name}.*")]
    if weights is not None and tag not in ([*tags, ""] if tags else []):
        raise UnknownNameError(
            f"timm's {name} has no weights {tag or 'default'!r}; it has "
            f"{', '.join(tags) or 'none'}.{suggestion(tag, tags)}"
        )
    full_name = f"{name}.{tag}" if tag else name
    config = timm.get_pretrained_cfg(full_name) or timm.get_pretrained_cfg(name) or PretrainedCfg()
    options: dict[str, Any] = {"num_classes": 0, "drop_rate": drop_rate}
    if drop_path_rate is not None:
        options["drop_path_rate"] = drop_path_rate
    if image_size is not None and not config.fixed_input_size:
        options["pretrained_cfg_overlay"] = {"input_size": (3, image_size, image_size)}
    elif image_size is not None:
        options["img_size"] = image_size

    source = None
    try:
        backbone = timm.create_model(full_name, pretrained=weights is not None, **options)
    except TypeError as error:
        raise WeightsError(f"timm's {name} cannot be built with {options}: {error}") from error
    except (OSError, RuntimeError, ValueError) as error:
        if weights is None:
            raise
        raise WeightsError(_missing(full_name, config, error)) from error
    if weights is not None:
        origin = config.hf_hub_id or config.url or "timm"
        file = str(config.hf_hub_filename or "model.safetensors")
        source = WeightsSource(config.tag or "default", str(origin), file)
    return ImageEncoder(backbone, _width(backbone), preprocess_of(backbone, image_size), source)


def _width(backbone: Any) -> int:
    """Features after pooling and, where an architecture has one, its layer before the classifier."""
    return int(getattr(backbone, "head_hidden_size", backbone.num_features))


def preprocess_of(backbone: nn.Module, image_size: int | None = None) -> Preprocess:
    """The evaluation preprocessing that timm's configuration of a network describes."""
    override = {} if image_size is None else {"input_size": (3, image_size, image_size)}
    data = resolve_data_config(  # type: ignore[no-untyped-call]
        override, model=backbone
    )
    _, height, width = data["input_size"]
    squash = data["crop_mode"] == "squash"
    if not squash and data["crop_mode"] != "center":
        raise UnknownNameError(f"timm's crop mode {data['crop_mode']!r} is not supported")
    scaled = tuple(math.floor(side / data["crop_pct"]) for side in (height, width))
    return Preprocess(
        resize=(scaled[0], scaled[1]) if squash or height != width else scaled[0],
        crop=(height, width),
        interpolation=data["interpolation"],
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
    )


def _missing(name: str, config: PretrainedCfg, error: Exception) -> str:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    where = f"the repository {config.hf_hub_id!r}" if config.hf_hub_id else str(config.url)
    how = f"hf download {config.hf_hub_id}" if config.hf_hub_id else "a machine with network"
    return (
        f"the weights of timm's {name!r} (model.safetensors from {where}) are not cached and cannot "
        f"be fetched: {first}. Bring them by: {how}; or build with pretrained=False for random weights"
    )
