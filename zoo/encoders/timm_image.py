"""Image encoders from timm: any architecture, with the preprocessing of its weights."""

import math
import pickle
from pathlib import Path
from typing import Any

import timm
from safetensors import SafetensorError
from timm.data.config import resolve_data_config
from timm.models import PretrainedCfg
from torch import Tensor, nn

from zoo.arguments import PositiveInt, Probability
from zoo.encoders.image import ImageEncoder
from zoo.encoders.preprocess import Preprocess
from zoo.errors import SpecError, UnknownNameError, WeightsError, first_line, suggestion
from zoo.weights.address import Address, address_of, fetched
from zoo.weights.claims import check_archive, check_numbers
from zoo.weights.hub import hub_file, read_json
from zoo.weights.read import load_strictly, own, read_tensors
from zoo.weights.record import recorded_if_usable, verified
from zoo.weights.source import WeightsSource, check_tag
from zoo.weights.torch_hub import cached_checkpoint
from zoo.weights.unfilled import unfilled

__all__ = ["create", "examples", "preprocess_of", "takes_addresses", "weights_tags"]

takes_addresses = True
_NAMES = ("model.safetensors", "pytorch_model.bin")


@recorded_if_usable()
def create(
    architecture: str,
    *,
    weights: str | None = "default",
    image_size: PositiveInt | None = None,
    drop_rate: Probability = 0.0,
    drop_path_rate: Probability | None = None,
) -> ImageEncoder:
    """Any architecture of `timm.list_models()`, bare or with a tag (`convnext_tiny.fb_in1k`).

    Args:
        weights: a tag of the architecture, `default`, the address of a state dict, with any
            classifier or none, or None for random ones. A repository's `config.json` says how its
            weights want pictures; for files and URLs it is the architecture's own preprocessing.
        image_size: side of the input in pixels, where not the weights' own.
        drop_rate: dropout probability, where the architecture has dropout.
        drop_path_rate: stochastic depth probability, where the architecture has it.

    Raises:
        UnknownNameError: timm has no such architecture, or it no such tag.
        WeightsError: the weights are neither cached nor to be had, or damaged.
    """
    name, _, tag = architecture.partition(".")
    tags = weights_tags(architecture)
    address = address_of(weights)
    if address is None:
        check_tag(weights, tags, f"timm's {name}")
    if weights is not None and weights != "default" and address is None:
        tag = weights
    check_tag(tag or None, tags, f"timm's {name}")
    full_name = f"{name}.{tag}" if tag else name
    config = timm.get_pretrained_cfg(full_name) or timm.get_pretrained_cfg(name) or PretrainedCfg()
    options: dict[str, Any] = {"drop_rate": drop_rate, "pretrained_cfg_overlay": {}}
    if drop_path_rate is not None:
        options["drop_path_rate"] = drop_path_rate
    if image_size is not None and not config.fixed_input_size:
        options["pretrained_cfg_overlay"]["input_size"] = (3, image_size, image_size)
    elif image_size is not None:
        options["img_size"] = image_size

    source = None
    if weights is None:
        backbone: Any = timm.create_model(full_name, **options)
    elif address is not None:
        backbone, source = _from_address(full_name, address, options)
    else:
        # With its classifier on, timm loads strictly: every tensor must be there and fit.
        backbone, source = _pretrained(full_name, config, options)
    backbone.reset_classifier(0)
    return ImageEncoder(
        backbone,
        _width(backbone),
        preprocess_of(backbone, image_size),
        source,
        tokens_of=_tokens,
        any_size=not config.fixed_input_size,
    )


def weights_tags(architecture: str) -> list[str]:
    """The tags that an architecture's weights can be asked for by.

    Raises:
        UnknownNameError: timm has no such architecture.
    """
    name = architecture.partition(".")[0]
    if not timm.is_model(name):
        raise UnknownNameError(
            f"timm has no architecture {name!r}.{suggestion(name, timm.list_models())}"
        )
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{name}.*")]
    return ["default", *tags] if tags else []


def examples() -> list[str]:
    """A convolutional network, a transformer, and one with a layer after pooling, for the kit."""
    return ["timm/resnet10t", "timm/vit_tiny_patch16_224", "timm/mobilenetv4_conv_small"]


def _pretrained(
    name: str, config: PretrainedCfg, options: dict[str, Any]
) -> tuple[Any, WeightsSource]:
    where = f"the repository {config.hf_hub_id!r}" if config.hf_hub_id else str(config.url)
    try:
        source, file = _fetched(config)
        overlay = options["pretrained_cfg_overlay"]
        if file.suffix == ".safetensors":  # others it would not read with weights_only
            overlay = {**overlay, "file": str(file), "custom_load": False}
        elif config.hf_hub_id:  # by itself it would look for another file, at the newest commit
            overlay = {**overlay, "state_dict": read_tensors(file, mapped=False)}
        else:  # it reads this one by itself, whatever tables its tensors lie in
            check_archive(file)
        with unfilled():
            made: Any = timm.create_model(
                name, pretrained=True, **{**options, "pretrained_cfg_overlay": overlay}
            )
        made.pretrained_cfg.pop("state_dict", None)
        check_numbers(made, made.state_dict(), str(file))
        return made, source
    except (OSError, EOFError, pickle.UnpicklingError, SafetensorError, RuntimeError) as error:
        said = first_line(error)
        if "loading state_dict" in said or "sizes" in said:
            what = " ".join(str(error).strip().splitlines()[:2])
            raise WeightsError(
                f"the weights of timm's {name!r} from {where} do not fit the model: {what}"
            ) from error
        if not isinstance(error, OSError):
            raise WeightsError(
                f"the weights of timm's {name!r} from {where} are damaged: {said}. Delete the cached "
                "file and let it be fetched again"
            ) from error
        how = f"hf download {config.hf_hub_id}" if config.hf_hub_id else "a machine with network"
        raise WeightsError(
            f"the weights of timm's {name!r} (model.safetensors from {where}) are not cached and "
            f"cannot be fetched: {said}. Bring them by: {how}; or build with pretrained=False for "
            "random weights"
        ) from error


def _from_address(
    name: str, address: Address, options: dict[str, Any]
) -> tuple[nn.Module, WeightsSource]:
    path, source = fetched(address)
    if address.kind == "hf":
        overlay = _as_trained(name, source) | options["pretrained_cfg_overlay"]
        options = {**options, "pretrained_cfg_overlay": overlay}
    with unfilled():
        made: Any = timm.create_model(name, **options)
    names = made.state_dict().keys()
    made.reset_classifier(0)
    classifier = names - made.state_dict().keys()
    tensors = read_tensors(path, mapped=False)
    kept = {key: tensor for key, tensor in tensors.items() if key not in classifier}
    load_strictly(made, own(kept), str(path), assign=True)
    return made, source


def _as_trained(name: str, source: WeightsSource) -> dict[str, Any]:
    """How the weights of a repository want pictures, and that they are of this architecture."""
    try:
        config = read_json(hub_file(source.source, ["config.json"], source.revision).path)
    except OSError as error:
        raise WeightsError(
            f"config.json of {source.source!r}, which says how its weights want pictures, is not "
            f"cached and cannot be fetched: {first_line(error)}"
        ) from error
    architecture = str(config.get("architecture", "")).partition(".")[0]
    if architecture != name.partition(".")[0]:
        raise WeightsError(
            f"{source.tag} has weights of timm's {architecture!r}, not of {name.partition('.')[0]!r}"
        )
    said = config.get("pretrained_cfg") or config
    if not isinstance(said, dict):
        raise WeightsError(f"config.json of {source.source!r}: its pretrained_cfg is no table")
    return {
        key: tuple(said[key]) if isinstance(said[key], list) else said[key]
        for key in ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode")
        if said.get(key) is not None
    }


def _fetched(config: PretrainedCfg) -> tuple[WeightsSource, Path]:
    """The verified weights file, where timm would look for it too."""
    tag = config.tag or "default"
    if not config.hf_hub_id:
        path = cached_checkpoint(str(config.url))
        sha256 = verified(path, str(config.url))
        return WeightsSource(tag, str(config.url), path.name, sha256=sha256), path
    repository, _, revision = config.hf_hub_id.partition("@")
    names = [config.hf_hub_filename] if config.hf_hub_filename else _NAMES
    found = hub_file(repository, names, revision or None)
    name = found.path.name
    return WeightsSource(tag, repository, name, found.revision, found.sha256), found.path


def _tokens(backbone: Any, images: Tensor) -> Tensor:
    """timm's unpooled features as `Float[B, places, channels]`, without class and register tokens."""
    features = backbone.forward_features(images)
    width = backbone.num_features
    if isinstance(features, Tensor) and features.ndim == 3 and features.shape[-1] == width:
        prefix = int(getattr(backbone, "cls_token", None) is not None)
        return features[:, getattr(backbone, "num_prefix_tokens", prefix) :]
    if isinstance(features, Tensor) and features.ndim == 4 and features.shape[-1] == width:
        return features.flatten(1, 2)
    if isinstance(features, Tensor) and features.ndim == 4 and features.shape[1] == width:
        return features.flatten(2).transpose(1, 2)
    raise SpecError(
        f"timm's {type(backbone).__name__} has no single map of them; choose a head that takes pooled "
        "features"
    )


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
    if not squash and (data["crop_mode"] != "center" or height != width):
        raise UnknownNameError(
            f"timm's crop mode {data['crop_mode']!r} to {height}x{width} is not supported"
        )
    scaled = tuple(math.floor(side / data["crop_pct"]) for side in (height, width))
    return Preprocess(
        resize=(scaled[0], scaled[1]) if squash else scaled[0],
        crop=(height, width),
        interpolation=data["interpolation"],
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
    )
