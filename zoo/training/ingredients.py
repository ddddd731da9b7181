"""All that could change what a frozen encoder says of an input: the key that its features are under."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from importlib.metadata import packages_distributions, version
from typing import Any, Literal

import torch
from torch import nn

from zoo.clip import CLIP
from zoo.code import code_of
from zoo.encoders.preprocess import Preprocess
from zoo.training.precision import fp32_kernels
from zoo.weights.read import state_sha256

__all__ = ["configs", "ingredients", "is_frozen", "written"]

_LIBRARIES = ("clip-zoo", "torch", "torchvision", "timm", "transformers", "pillow")
_PACKAGES = {"zoo", "torch", "torchvision", "timm", "transformers"}
"""Of these, where layers come from."""
_FORMAT = 4


def is_frozen(tower: Any) -> bool:
    """Whether all of a tower's encoder stands still, so that its features may be kept."""
    return "encoder" in tower.frozen_parts and not any(
        parameter.requires_grad for parameter in tower.encoder.parameters()
    )


def ingredients(
    model: CLIP, side: Literal["image", "text"], precision: str, device: torch.device
) -> dict[str, Any] | None:
    """What the features of one side depend on besides the input; None if they cannot be kept.

    They cannot of an encoder that is not frozen as a whole, of a model without a spec, with code that is
    in no file, and with a preprocessing that is not data. A tokenizer is no ingredient: what it makes of
    a text is the input.
    """
    tower: Any = getattr(model, f"{side}_encoder")
    if not is_frozen(tower) or model.spec is None or f"{side}.encoder" not in model.provenance:
        return None
    encoder = tower.encoder
    whole: nn.Module = getattr(tower, "whole", tower).encoder
    code = written(whole)
    if code is None:
        return None
    origin = model.provenance[f"{side}.encoder"]
    found: dict[str, Any] = {
        "format": _FORMAT,
        "side": side,
        "component": getattr(model.spec, side).encoder.model_dump(mode="json"),
        "origin": {name: origin.get(name) for name in ("name", "origin", "target")},
        "weights": state_sha256(encoder),
        "buffers": _unsaved_buffers(encoder),
        "architecture": str(encoder),
        "code": code,
        "configs": configs(whole),
        "tokens": bool(getattr(tower.head, "takes_tokens", False)),
        "precision": precision,
        "device": device.type,
        "kernels": fp32_kernels(),
        "libraries": {name: version(name) for name in (*_LIBRARIES, *_distributions_of(encoder))},
    }
    if side == "image":
        preprocess = encoder.preprocess
        if not isinstance(preprocess, Preprocess):
            return None
        kind = type(preprocess)
        found["preprocess"] = {
            "kind": f"{kind.__module__}.{kind.__qualname__}",
            **preprocess.as_json(),
        }
    return found


def written(module: nn.Module) -> str | None:
    """A hash of the files of its factory and of the classes of its layers; None if one is in no file."""
    factory: str | None = getattr(module, "factory_code", "")
    preprocess = type(getattr(module, "preprocess", None))
    layers = code_of(*map(type, module.modules()), preprocess)
    if factory is None or layers is None:
        return None
    return hashlib.sha256(f"{factory} {layers}".encode()).hexdigest()


def configs(module: nn.Module) -> str:
    """A hash of the configs of its layers, as transformers has them.

    They say what neither tensors nor `str` do, such as a number of heads, and are read from files.
    """
    found: list[Any] = [vars(each).get("config") for each in module.modules()]
    said = {id(each): each.to_json_string() for each in found if hasattr(each, "to_json_string")}
    return hashlib.sha256("".join(said.values()).encode()).hexdigest()


def _distributions_of(module: nn.Module) -> list[str]:
    """What else a network's layers were installed with: a plugin may wrap those of another library."""
    packages = {type(each).__module__.partition(".")[0] for each in module.modules()}
    return sorted(
        {name for each in packages - _PACKAGES for name in _distributions().get(each, ())}
    )


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()  # which reads the metadata of all that is installed


def _unsaved_buffers(module: nn.Module) -> str:
    """A hash over the tensors that no state dict has, such as tables of positions."""
    saved = module.state_dict().keys()
    digest = hashlib.sha256()
    for name, tensor in sorted(module.named_buffers()):
        if name not in saved:
            plain = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
            digest.update(plain.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
