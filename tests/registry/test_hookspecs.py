"""Every hook has a test: what a plugin returns from it can be built, and one without a test fails."""

import pytest

import zoo
from zoo.registry import hookspecs

HOOKS = """
from zoo import HookedComponent, hookimpl

@hookimpl
def {hook}():
    return [HookedComponent("mine", "{hook}_things:Mine", "a component of a plugin")]
"""
THINGS = """
from torch import nn

class Mine(nn.Module):
    def __init__(self, *, {arguments}):
        super().__init__()
        self.proj = nn.Linear(2048, 512)

    def forward(self, one, other=None):
        return self.proj(one) if other is None else (one * other).mean()
"""


def offer(install, hook, arguments):
    install(
        "zoo-hooked",
        {"zoo.plugins": {"hooks": f"{hook}_module"}},
        {
            f"{hook}_module.py": HOOKS.format(hook=hook),
            f"{hook}_things.py": THINGS.format(arguments=arguments),
        },
    )


def test_zoo_projection_heads(install):
    offer(install, "zoo_projection_heads", "in_dim: int, out_dim: int")
    assert zoo.available("heads", "zoo-hooked/*") == ["mine"]
    overrides = {"image.head": "mine"}
    model = zoo.build("resnet50-clip", pretrained=False, overrides=overrides, towers=["image"])
    assert model.provenance["image.head"]["origin"]["name"] == "zoo-hooked"
    assert type(model.image_encoder.head).__name__ == "Mine"


def test_zoo_losses(install):
    offer(install, "zoo_losses", "scale: float = 1.0")
    assert zoo.available("losses", "zoo-hooked/*") == ["mine"]
    overrides = {"loss": "mine", "loss.args.scale": 2.0}
    model = zoo.build("resnet50-clip", pretrained=False, overrides=overrides, towers=["text"])
    assert model.provenance["loss"]["origin"]["name"] == "zoo-hooked"
    assert type(model.loss).__name__ == "Mine"


@pytest.mark.parametrize(
    "hook", [name for name, each in vars(hookspecs).items() if hasattr(each, "zoo_spec")]
)
def test_every_hook_has_a_test(hook):
    assert f"test_{hook}" in globals()
