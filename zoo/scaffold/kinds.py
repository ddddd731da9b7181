"""The kinds of plugin that `zoo new` writes, and where each joins the zoo."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Joint", "PluginKind"]


@dataclass(frozen=True)
class Joint:
    """How a plugin of one kind joins the zoo. `$component` and `$module` stand for its names."""

    group: str
    """The entry-point group."""
    entry: str
    """The entry point, as a line of TOML."""
    edit: str
    """The file that its author writes, under the module's folder."""
    use: str
    """A command that uses it."""


class PluginKind(StrEnum):
    """What a plugin adds. The value is also the name of the kind's folder of templates."""

    IMAGE_ENCODER = "image-encoder"
    TEXT_ENCODER = "text-encoder"
    HEAD = "head"
    LOSS = "loss"
    DATASET = "dataset"
    MODEL = "model"

    @property
    def joint(self) -> Joint:
        return _JOINTS[self]


_JOINTS = {
    PluginKind.IMAGE_ENCODER: Joint(
        "zoo.image_encoders",
        '$component = "$module.encoder:ImageEncoder"',
        "encoder.py",
        "zoo show resnet50-clip --set image.encoder=$component",
    ),
    PluginKind.TEXT_ENCODER: Joint(
        "zoo.text_encoders",
        '$component = "$module.encoder:TextEncoder"',
        "encoder.py",
        "zoo show resnet50-clip --set text.encoder=$component --set text.head=linear "
        "--set text.train=full",
    ),
    PluginKind.HEAD: Joint(
        "zoo.plugins",
        'hooks = "$module.hooks"',
        "head.py",
        "zoo show resnet50-clip --set image.head.name=$component",
    ),
    PluginKind.LOSS: Joint(
        "zoo.plugins",
        'hooks = "$module.hooks"',
        "loss.py",
        "zoo show resnet50-clip --set loss=$component",
    ),
    PluginKind.DATASET: Joint(
        "zoo.datasets",
        '$component = "$module.dataset:create"',
        "dataset.py",
        "zoo train resnet50-clip --data $component",
    ),
    PluginKind.MODEL: Joint(
        "zoo.registries",
        'models = "$module:models.toml"',
        "models.toml",
        "zoo show $component",
    ),
}
