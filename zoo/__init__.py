"""A zoo of CLIP-style image-text models: names, specs and plugins become models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.assembly import build, create_clip_model
    from zoo.clip import CLIP, CLIPImageEncoder, CLIPTextEncoder
    from zoo.encoders.preprocess import Preprocess
    from zoo.errors import ZooError
    from zoo.folder import load, save
    from zoo.interchange import (
        from_huggingface,
        from_pretrained,
        push_to_hub,
        to_huggingface,
        to_sentence_transformers,
    )
    from zoo.registry import HookedComponent, available, hookimpl, register
    from zoo.spec import ModelSpec, Ref, TowerSpec

__all__ = [
    "CLIP",
    "CLIPImageEncoder",
    "CLIPTextEncoder",
    "HookedComponent",
    "ModelSpec",
    "Preprocess",
    "Ref",
    "TowerSpec",
    "ZooError",
    "available",
    "build",
    "create_clip_model",
    "from_huggingface",
    "from_pretrained",
    "hookimpl",
    "load",
    "push_to_hub",
    "register",
    "save",
    "to_huggingface",
    "to_sentence_transformers",
]

_HOMES = {
    "CLIP": "zoo.clip",
    "CLIPImageEncoder": "zoo.clip",
    "CLIPTextEncoder": "zoo.clip",
    "HookedComponent": "zoo.registry.hookspecs",
    "ModelSpec": "zoo.spec",
    "Preprocess": "zoo.encoders.preprocess",
    "Ref": "zoo.spec",
    "TowerSpec": "zoo.spec",
    "ZooError": "zoo.errors",
    "available": "zoo.registry",
    "build": "zoo.assembly",
    "create_clip_model": "zoo.assembly",
    "from_huggingface": "zoo.interchange",
    "from_pretrained": "zoo.interchange",
    "hookimpl": "zoo.registry.hookspecs",
    "load": "zoo.folder",
    "push_to_hub": "zoo.interchange",
    "register": "zoo.registry",
    "save": "zoo.folder",
    "to_huggingface": "zoo.interchange",
    "to_sentence_transformers": "zoo.interchange",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("clip-zoo")
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
