"""The symmetric contrastive loss of CLIP."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.arguments import PositiveFloat, Probability
from zoo.errors import ArgumentError
from zoo.losses.gather import first_row, gather_rows

__all__ = ["InfoNCELoss"]


class InfoNCELoss(nn.Module):
    """Mean of image-to-text and text-to-image cross-entropy; pair i belongs to pair i.

    Owns `logit_scale`, the logarithm of the inverse temperature. As in the CLIP paper it starts
    at a temperature of 0.07 and the scale never exceeds 100.

    In several processes (`torch.distributed`) every process passes its own rows, as many as the
    others, and negatives come from all of them. The mean over processes of the values, and of the
    gradients, as DDP takes it, is what one process with all rows would get.

    Args:
        temperature: where the temperature starts, > 0 (dimensionless, divides cosines).
        learnable: whether the temperature trains.
        max_scale: upper bound of the inverse temperature.
        label_smoothing: share of each target spread evenly over the batch, in [0, 1).

    Source: Radford et al. 2021, arXiv 2103.00020, section 2.5 and figure 3.
    """

    def __init__(
        self,
        *,
        temperature: PositiveFloat = 0.07,
        learnable: bool = True,
        max_scale: PositiveFloat = 100.0,
        label_smoothing: Probability = 0.0,
    ) -> None:
        super().__init__()
        if temperature * max_scale < 1:
            raise ArgumentError(
                f"the loss 'info-nce' takes a temperature of at least 1 / max_scale = "
                f"{1 / max_scale:g}, not {temperature:g}"
            )
        # Smoothed targets are met best a little off the aligned arrangement.
        self.claims: tuple[str, ...] = ("splits-over-processes",)
        if not label_smoothing:
            self.claims += ("minimum-at-simplex",)
        self.max_scale = max_scale
        self.label_smoothing = label_smoothing
        self.logit_scale = nn.Parameter(
            torch.tensor(math.log(1 / temperature)), requires_grad=learnable
        )

    @property
    def temperature(self) -> float:
        """The temperature in force, after the bound."""
        return 1 / min(self.logit_scale.exp().item(), self.max_scale)

    def forward(
        self,
        image_embeds: Float[Tensor, "batch dim"],
        text_embeds: Float[Tensor, "batch dim"],
    ) -> Float[Tensor, ""]:
        scale = self.logit_scale.exp().clamp(max=self.max_scale)
        targets = torch.arange(len(image_embeds), device=image_embeds.device)
        targets += first_row(len(targets))
        return (
            self._one_way(scale * image_embeds @ gather_rows(text_embeds).T, targets)
            + self._one_way(scale * text_embeds @ gather_rows(image_embeds).T, targets)
        ) / 2

    def _one_way(
        self, logits: Float[Tensor, "rows columns"], targets: Int[Tensor, " rows"]
    ) -> Float[Tensor, ""]:
        return F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
