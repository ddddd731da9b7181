"""Contrastive losses over two batches of embeddings. One file each."""

from zoo.registry.hookspecs import HookedComponent, hookimpl

__all__ = ["zoo_losses"]


@hookimpl
def zoo_losses() -> list[HookedComponent]:
    """The built-in losses."""
    return [
        HookedComponent(
            "info-nce",
            "zoo.losses.info_nce:InfoNCELoss",
            "symmetric cross-entropy over the batch, learnable temperature (CLIP)",
        ),
    ]
