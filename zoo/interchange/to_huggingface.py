"""A zoo model becomes a folder that transformers loads without zoo, where it has the architecture."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import FolderError
from zoo.folder.swap import drafted
from zoo.modes import check_merged

if TYPE_CHECKING:
    from torch import Tensor, nn

    from zoo.clip import CLIP
    from zoo.encoders.preprocess import Preprocess

__all__ = ["to_huggingface"]

_RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}


def to_huggingface(model: CLIP, folder: str | PathLike[str]) -> Path:
    """Write a `CLIPModel`, a `SiglipModel` or a `VisionTextDualEncoderModel`, with its processors.

    Both encoders are `hf/…` with a pooling of their own, and both heads `identity` or `linear`
    without a bias, since that is what these classes can say.

    Raises:
        FolderError: the folder exists, or transformers has no class for the model; says why.
        WeightsError: the tokenizer cannot be had.
    """
    target = Path(folder)
    if target.exists():
        raise FolderError(f"{target}: exists already; choose another folder")
    image, text = _backbone(model, "image"), _backbone(model, "text")
    kinds = type(image).__name__, type(text).__name__
    if kinds == ("CLIPVisionModelWithProjection", "CLIPTextModelWithProjection"):
        whole: Any = _clip(model, image, text)
    elif kinds == ("SiglipVisionModel", "SiglipTextModel") and not _matrices(model):
        whole = _siglip(model, image, text)
    else:
        whole = _dual(model, image, text)
    with drafted(target, replace=False) as draft:
        for side in ("text", "image"):
            _tower(model, side).encoder.save_files(draft)
        # The configs of the whole model, over those of its halves.
        (draft / "processor_config.json").unlink(missing_ok=True)
        settings = json.dumps(_processor(model), indent=2)
        (draft / "preprocessor_config.json").write_text(settings + "\n", encoding="utf-8")
        whole.save_pretrained(draft)
    return target


def _clip(model: CLIP, image: Any, text: Any) -> nn.Module:
    from transformers import CLIPConfig, CLIPModel

    # The embedding's width, which both halves' projections have once the heads are in them.
    dim = _projected(model, "image", image.visual_projection.weight).shape[0]
    text_config = {**text.config.to_dict(), "projection_dim": dim}
    vision_config = {**image.config.to_dict(), "projection_dim": dim}
    whole: Any = CLIPModel(
        CLIPConfig(text_config=text_config, vision_config=vision_config, projection_dim=dim)
    )
    whole.vision_model.load_state_dict(image.vision_model.state_dict())
    whole.text_model.load_state_dict(text.text_model.state_dict())
    _set(whole.visual_projection.weight, _projected(model, "image", image.visual_projection.weight))
    _set(whole.text_projection.weight, _projected(model, "text", text.text_projection.weight))
    return _scaled(model, whole)


def _siglip(model: CLIP, image: Any, text: Any) -> nn.Module:
    from transformers import SiglipConfig, SiglipModel

    configs = {"text_config": text.config.to_dict(), "vision_config": image.config.to_dict()}
    whole: Any = SiglipModel(SiglipConfig(**configs))
    whole.vision_model.load_state_dict(image.state_dict())
    whole.text_model.load_state_dict(text.state_dict())
    return _scaled(model, whole)


def _dual(model: CLIP, image: Any, text: Any) -> nn.Module:
    import torch
    from transformers import VisionTextDualEncoderConfig, VisionTextDualEncoderModel

    maps: dict[str, Tensor] = {}
    halves: dict[str, Any] = {"image": image, "text": text}
    for side, name, projection in (
        ("image", "vision_model", "visual_projection"),
        ("text", "text_model", "text_projection"),
    ):
        half = halves[side]
        width = int(half.config.hidden_size)
        if hasattr(half, projection):  # a half of CLIP, whose projection goes into the dual one
            maps[side] = _projected(model, side, getattr(half, projection).weight)
            halves[side] = getattr(half, name)
        else:
            maps[side] = _projected(model, side, torch.eye(width))
        if maps[side].shape[1] != width:
            raise FolderError(
                f"{side}.encoder: gives {maps[side].shape[1]} features of {width} hidden ones, and "
                "transformers' VisionTextDualEncoderModel has both the same"
            )
    config = VisionTextDualEncoderConfig(
        vision_config=halves["image"].config.to_dict(),
        text_config=halves["text"].config.to_dict(),
        projection_dim=len(maps["image"]),
    )
    whole: Any = VisionTextDualEncoderModel(config)
    whole.vision_model.load_state_dict(halves["image"].state_dict())
    whole.text_model.load_state_dict(halves["text"].state_dict())
    _set(whole.visual_projection.weight, maps["image"])
    _set(whole.text_projection.weight, maps["text"])
    return _scaled(model, whole)


def _tower(model: CLIP, side: str) -> Any:
    tower = getattr(model, f"{side}_encoder")
    if tower is None:
        raise FolderError(f"the model has no {side} tower, and transformers' have both")
    return tower


def _backbone(model: CLIP, side: str) -> Any:
    from zoo.encoders.hf_image import HFImageEncoder
    from zoo.encoders.hf_text import HFTextEncoder

    tower = _tower(model, side)
    check_merged(tower, side)
    encoder = tower.encoder
    if not isinstance(encoder, (HFImageEncoder, HFTextEncoder)):
        name = model.provenance.get(f"{side}.encoder", {}).get("name", type(encoder).__name__)
        raise FolderError(
            f"{side}.encoder: {name!r} is no half of a dual encoder of transformers; what can be "
            "written for transformers has hf/… on both sides"
        )
    pooling = getattr(encoder, "pooling", None)
    if pooling is not None:
        raise FolderError(
            f"{side}.encoder: pools by {pooling!r}, and transformers' dual encoders take the pooling "
            "of the encoder itself; zoo.to_sentence_transformers can write this tower"
        )
    return encoder.backbone


def _matrices(model: CLIP) -> bool:
    """Whether a head does anything."""
    return any(_tower(model, side).head.state_dict() for side in ("image", "text"))


def _projected(model: CLIP, side: str, projection: Tensor) -> Tensor:
    """The encoder's last matrix and the head's as one."""
    from zoo.heads.identity import IdentityHead
    from zoo.heads.linear import LinearHead

    head = _tower(model, side).head
    if isinstance(head, IdentityHead):
        return projection.detach().cpu()
    if not (isinstance(head, LinearHead) and list(head.state_dict()) == ["proj.weight"]):
        raise FolderError(
            f"{side}.head: {type(head).__name__} is no single matrix, and that is all that "
            "transformers' dual encoders have; choose the head 'linear' without a bias, or 'identity'"
        )
    return (head.proj.weight.detach().double() @ projection.detach().double()).float().cpu()


def _set(parameter: Tensor, value: Tensor) -> None:
    parameter.data.copy_(value)


def _scaled(model: CLIP, whole: Any) -> nn.Module:
    scale = getattr(model.loss, "logit_scale", None)
    if scale is not None:
        whole.logit_scale.data.fill_(scale.item())
    if hasattr(whole, "logit_bias"):
        # A model that came from SigLIP and has another loss by now gives back the bias it came with.
        came_with = model.provenance.get("loss", {}).get("checkpoint", {}).get("logit_bias", 0.0)
        bias = getattr(model.loss, "logit_bias", None)
        whole.logit_bias.data.fill_(came_with if bias is None else bias.item())
    done: nn.Module = whole.eval()
    return done


def _processor(model: CLIP) -> dict[str, Any]:
    """The preprocessing as transformers' CLIP processor reads it: resize, crop, scale, normalise."""
    found: Preprocess = _tower(model, "image").encoder.preprocess
    height, width = found.crop
    resize: dict[str, int] = (
        {"shortest_edge": found.resize}
        if isinstance(found.resize, int)
        else {"height": found.resize[0], "width": found.resize[1]}
    )
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": resize,
        "resample": _RESAMPLE[found.interpolation],
        "do_center_crop": True,
        "crop_size": {"height": height, "width": width},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(found.mean),
        "image_std": list(found.std),
        "do_convert_rgb": True,
    }
