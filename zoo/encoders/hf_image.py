"""Image encoders from HuggingFace: the image half of a dual encoder, with its preprocessing."""

import json
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from zoo.encoders.hf_backbone import DUAL, from_files, read_config
from zoo.encoders.preprocess import Preprocess
from zoo.errors import ArgumentError, WeightsError
from zoo.weights.hub import HubFiles, hub_files, read_json
from zoo.weights.record import recorded_if_usable
from zoo.weights.source import WeightsSource, origin_of

__all__ = ["HFImageEncoder", "create", "examples"]

_CLASSES = {
    "clip": ("CLIPVisionModelWithProjection", "projection_dim"),
    "siglip": ("SiglipVisionModel", "hidden_size"),
}
"""Image halves that pool by themselves, and where their config has the width."""
_INTERPOLATIONS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}


class HFImageEncoder(nn.Module):
    """The image half of a dual encoder, up to the features that it would normalise.

    Attributes:
        out_dim: number of features.
        preprocess: as the weights were trained for.
        weights_source: where the weights came from, or None for random ones.
        resolved_args: arguments that the weights decided, which a saved spec must keep.
    """

    def __init__(
        self,
        backbone: nn.Module,
        out_dim: int,
        preprocess: Preprocess,
        small_files: dict[str, bytes],
        weights_source: WeightsSource | None,
        resolved_args: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.out_dim = out_dim
        self.preprocess = preprocess
        self._small_files = small_files
        self.weights_source = weights_source
        self.resolved_args = resolved_args or {}

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch out_dim"]:
        out = self.backbone(pixel_values=images)
        features: Tensor = out.image_embeds if "image_embeds" in out else out.pooler_output
        return features.flatten(1)

    def save_files(self, folder: Path) -> None:
        """Write the configs, from which the factory makes the encoder again."""
        for name, content in self._small_files.items():
            (folder / name).write_bytes(content)


@recorded_if_usable()
def create(
    repository: str,
    *,
    weights: str | None = "default",
    revision: str | None = None,
    saved_files: Path | None = None,
) -> HFImageEncoder:
    """The image half of a `CLIPModel`, `SiglipModel` or `VisionTextDualEncoderModel`.

    Args:
        weights: `default` (the repository's), or None for random ones.
        revision: commit, branch or tag of the repository; a folder has none.
        saved_files: configs of a saved model.

    Raises:
        ArgumentError: the repository has a model of another kind, or a folder is given a revision.
        WeightsError: a file is missing or damaged, or weights do not fit.
    """
    if weights not in (None, "default"):
        raise ArgumentError(
            f"the image encoder 'hf/{repository}' has the weights 'default' or none, not {weights!r}; "
            "choose another commit or branch with the argument revision"
        )
    saved = (
        None if saved_files is None else hub_files(str(saved_files), weights=False, tokenizer=False)
    )
    if saved is not None and weights is None:
        files = saved
    else:
        files = hub_files(repository, revision, weights=weights is not None, tokenizer=False)
    backbone, out_dim = _backbone(
        repository, saved or files, files if weights is not None else None
    )
    processor = _processor(saved or files)
    config = (saved or files).file("config.json")
    content = {path.name: path.read_bytes() for path in (config, processor)}
    source = None
    if weights is not None and files.weights is not None:
        source = WeightsSource(
            "default", origin_of(files), files.weights, files.revision, files.sha256
        )
    decided = {"revision": files.revision} if files.revision else {}
    preprocess = _preprocess(processor)
    side: Any = getattr(backbone.config, "image_size", None)
    if side is not None and preprocess.crop != (side, side):
        raise WeightsError(
            f"{processor}: pictures are cut to {preprocess.crop[0]}x{preprocess.crop[1]}, and the network "
            f"of {config.name} takes {side}x{side}"
        )
    return HFImageEncoder(backbone, out_dim, preprocess, content, source, decided)


def examples() -> list[str]:
    """The reference's own image half, for the kit."""
    return ["hf/openai/clip-vit-base-patch32"]


def _backbone(repository: str, small: HubFiles, weights: HubFiles | None) -> tuple[nn.Module, int]:
    import transformers

    config = read_config(small)
    own = getattr(config, "vision_config", config)
    kind = config.model_type.removesuffix("_vision_model")
    if kind == DUAL and own is not config:
        made = transformers.MODEL_MAPPING[type(own)]
        half = from_files(made, own, weights, part="vision_model.")
        return half, int(own.hidden_size)
    if kind not in _CLASSES or (kind == "siglip" and not getattr(own, "vision_use_head", True)):
        raise ArgumentError(
            f"the image encoder 'hf/{repository}': {config.model_type!r} is none of the kinds that have "
            f"an image half with a pooling of its own: {', '.join([*_CLASSES, DUAL])}. Networks that "
            "classify are in timm/… and torchvision/…"
        )
    name, width = _CLASSES[kind]
    model = from_files(getattr(transformers, name), own, weights)
    return model, int(getattr(own, width))


def _processor(files: HubFiles) -> Path:
    """The file with the preprocessing; its newer name is for a tokenizer's settings besides."""
    path = files.optional("preprocessor_config.json") or files.optional("processor_config.json")
    if path is None:
        raise WeightsError(
            f"preprocessor_config.json of {files.repository!r} is missing in {files.folder}, so it is "
            "not known how it wants its pictures"
        )
    return path


def _preprocess(path: Path) -> Preprocess:
    """What transformers' image processors do, from their data: nothing of theirs is imported.

    Raises:
        WeightsError: the data are damaged, or say something else than resize, crop, scale.
    """
    said = read_json(path)
    said = said.get("image_processor", said)
    try:
        crops = said.get("do_center_crop", "crop_size" in said)
        resize = _size(said["size"], square=not crops)
        crop = _size(said["crop_size"], square=True) if crops else resize
        plain = (
            said.get("do_resize", True)
            and said.get("do_normalize", True)
            and abs(said.get("rescale_factor", 1 / 255) - 1 / 255) < 1e-9
            and isinstance(crop, tuple)
        )
        if not plain:
            raise ValueError("not resize, crop from the centre, scale and normalise")
        return Preprocess(
            resize=resize,
            crop=crop,  # type: ignore[arg-type]
            interpolation=_INTERPOLATIONS[said.get("resample", 3)],  # type: ignore[arg-type]
            mean=_triple(said["image_mean"]),
            std=_triple(said["image_std"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path}: prepares pictures in a way that zoo does not: {error!r} in {json.dumps(said)[:200]}"
        ) from error


def _size(said: Any, *, square: bool) -> int | tuple[int, int]:
    if isinstance(said, int):
        return (said, said) if square else said
    if "shortest_edge" in said:
        return int(said["shortest_edge"])
    return int(said["height"]), int(said["width"])


def _triple(said: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, said)
    return red, green, blue
