"""The symmetric contrastive loss of CLIP."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from zoo.arguments import PositiveFloat, Probability
from zoo.errors import ArgumentError

__all__ = ["InfoNCELoss"]


class InfoNCELoss(nn.Module):
    """Mean of image-to-text and text-to-image cross-entropy; pair i belongs to pair i.

    Owns `logit_scale`, the logarithm of the inverse temperature. As in the CLIP paper it starts
    at a temperature of 0.07 and the scale never exceeds 100.

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
        logits = scale * image_embeds @ text_embeds.T
        targets = torch.arange(len(logits), device=logits.device)
        image_to_text = F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        text_to_image = F.cross_entropy(logits.T, targets, label_smoothing=self.label_smoothing)
        return (image_to_text + text_to_image) / 2
