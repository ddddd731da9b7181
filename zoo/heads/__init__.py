"""Projection heads: encoder features to the shared embedding space. One file each."""

from zoo.registry.hookspecs import HookedComponent, hookimpl

__all__ = ["zoo_projection_heads"]


@hookimpl
def zoo_projection_heads() -> list[HookedComponent]:
    """The built-in heads."""
    return [
        HookedComponent("linear", "zoo.heads.linear:LinearHead", "one linear map"),
        HookedComponent(
            "mlp-gelu", "zoo.heads.mlp_gelu:MLPHead", "linear, GELU, linear (the reference)"
        ),
        HookedComponent("identity", "zoo.heads.identity:IdentityHead", "features as they are"),
        HookedComponent(
            "residual-mlp",
            "zoo.heads.residual_mlp:ResidualMLPHead",
            "a linear map plus a gated two-layer correction",
        ),
        HookedComponent(
            "kernel",
            "zoo.heads.kernel:KernelHead",
            "kernel ridge regression, solved from the features of a frozen encoder",
        ),
        HookedComponent(
            "two-way-kernel",
            "zoo.heads.two_way_kernel:TwoWayKernelHead",
            "kernel ridge regression of both sides, each towards the other",
        ),
        HookedComponent(
            "whiten",
            "zoo.heads.whiten:WhitenHead",
            "features centred and evened out; nothing trains",
        ),
    ]
