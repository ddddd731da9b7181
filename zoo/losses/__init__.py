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
        HookedComponent(
            "siglip",
            "zoo.losses.siglip:SigLIPLoss",
            "sigmoid of every pair on its own, learnable temperature and bias (SigLIP)",
        ),
        HookedComponent(
            "decoupled",
            "zoo.losses.decoupled:DecoupledLoss",
            "info-nce whose denominator leaves out the positive, for small batches",
        ),
        HookedComponent(
            "hard-negative",
            "zoo.losses.hard_negative:HardNegativeLoss",
            "info-nce with near negatives weighted up, and false ones taken off",
        ),
        HookedComponent(
            "distillation",
            "zoo.losses.distillation:DistillationLoss",
            "info-nce mixed with the divergence from a teacher's affinities (MobileCLIP, TinyCLIP)",
        ),
    ]
