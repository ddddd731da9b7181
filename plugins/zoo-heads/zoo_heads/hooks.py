"""What this distribution adds, as data: reading it imports no torch."""

from zoo import HookedComponent, hookimpl

__all__ = ["zoo_projection_heads"]


@hookimpl
def zoo_projection_heads() -> list[HookedComponent]:
    """The two heads."""
    return [
        HookedComponent(
            "attention-pool",
            "zoo_heads.attention_pool:AttentionPoolHead",
            "learned attention over the places of a picture, before the encoder pools them",
        ),
        HookedComponent(
            "bottleneck",
            "zoo_heads.bottleneck:BottleneckHead",
            "down to a few features, GELU, and up again",
        ),
    ]
