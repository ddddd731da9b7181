"""The contrastive loss with hard negatives weighted up."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.arguments import NonNegativeFloat, PositiveFloat, Probability, in_range
from zoo.losses.batch import Batch, check_negatives, gather_batch
from zoo.losses.softmax import Direction, directions
from zoo.losses.temperature import bounded_scale, logit_scale, temperature_of

__all__ = ["HardNegativeLoss"]


class HardNegativeLoss(nn.Module):
    """InfoNCE in which a negative counts the more the nearer it is, and false negatives are taken off.

    For a row with the logit p of its positive and s_1, ..., s_N of its N negatives (cosines divided
    by the temperature t):

        weighted = N * sum_j exp((1 + beta) * s_j) / sum_j exp(beta * s_j)
        negative = max((weighted - tau_plus * N * exp(p)) / (1 - tau_plus), N * exp(-1 / t))
        loss     = -log(exp(p) / (exp(p) + negative))

    and the mean of image to text and text to image. `beta` 0 and `tau_plus` 0 make it InfoNCE where each
    pair has one positive, and `tau_plus` 0 alone the form that image-text pretraining uses (HN-NCE with
    alpha 1).

    With `image_ids` or `text_ids`, pair (i, j) is a positive too where both have the same image or
    the same text: p is the mean over positives, and none of them is a negative.

    Gradients are analytic and memory is O(batch), beside tiles of fixed size; they cannot be
    differentiated again. In several processes each passes its own rows, and the mean of values and of
    gradients, in which each counts by its number of rows, is that of the whole batch.

    Args:
        temperature: where the temperature starts, > 0 (dimensionless, divides cosines).
        beta: how much the nearest negatives are preferred, >= 0 (dimensionless, times the logits).
        tau_plus: share of negatives that are positives in truth, in [0, 1).
        learnable: whether the temperature trains.
        max_scale: upper bound of the inverse temperature.

    Raises:
        ArgumentError: an argument is out of its range.
        LossError: a pair has no negative, shapes or ids do not fit, or a second derivative
            is asked for.

    Source: Robinson et al. 2021, arXiv 2010.04592, equations 4 and 5 and appendix; for image and
    text Radenovic et al. 2023, arXiv 2301.02280, whose beta is the default.
    """

    @in_range
    def __init__(
        self,
        *,
        temperature: PositiveFloat = 0.07,
        beta: NonNegativeFloat = 0.25,
        tau_plus: Probability = 0.0,
        learnable: bool = True,
        max_scale: PositiveFloat = 100.0,
    ) -> None:
        super().__init__()
        # Where false negatives are taken off, nearness of negatives can pay.
        self.claims: tuple[str, ...] = ("splits-over-processes",)
        if not tau_plus:
            self.claims += ("minimum-at-simplex",)
        self.beta = beta
        self.tau_plus = tau_plus
        self.max_scale = max_scale
        self.logit_scale = logit_scale("hard-negative", temperature, learnable, max_scale)

    @property
    def temperature(self) -> float:
        """The temperature in force, after the bound."""
        return temperature_of(self.logit_scale, self.max_scale)

    def forward(
        self,
        image_embeds: Float[Tensor, "batch dim"],
        text_embeds: Float[Tensor, "batch dim"],
        image_ids: Int[Tensor, " batch"] | None = None,
        text_ids: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, ""]:
        batch = gather_batch(image_embeds, text_embeds, image_ids, text_ids)
        check_negatives("hard-negative", batch)
        scale = bounded_scale(self.logit_scale, self.max_scale).to(batch.images.dtype)
        powers = (1 + self.beta, self.beta) if self.beta else (1.0,)
        to_text, to_image = directions(batch, scale, powers=powers, only_negatives=True)
        count = _log_number_of_negatives(batch)
        return (self._one_way(to_text, count, scale) + self._one_way(to_image, count, scale)) / 2

    def _one_way(self, way: Direction, count: Tensor, scale: Tensor) -> Tensor:
        """In logarithms, since exp(1 / t) may be no number that fits."""
        negative = way.log_sums[0]
        if self.beta:
            negative = count + way.log_sums[0] - way.log_sums[1]
        if self.tau_plus:
            false = math.log(self.tau_plus) + count + way.positive
            some = false < negative
            # Where nothing is left the bound below holds, and this must be a number all the same.
            share = torch.where(some, false - negative, -1.0)
            rest = negative + torch.log(-torch.expm1(share)) - math.log(1 - self.tau_plus)
            negative = torch.where(some, rest, -torch.inf)
        negative = torch.maximum(negative, count - scale)
        return F.softplus(negative - way.positive).mean()


def _log_number_of_negatives(batch: Batch) -> Tensor:
    """Of each pair of this process, the same for its image and its text."""
    total = batch.texts.shape[0]
    counts = batch.positives.counts
    if counts is None:
        return batch.images.new_full((batch.count,), math.log(total - 1))
    return (total - counts[batch.own]).to(batch.images.dtype).log()
