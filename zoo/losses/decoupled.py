"""The decoupled contrastive loss."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.arguments import PositiveFloat, in_range
from zoo.losses.batch import check_negatives, gather_batch
from zoo.losses.softmax import directions
from zoo.losses.temperature import bounded_scale, logit_scale, temperature_of

__all__ = ["DecoupledLoss"]


class DecoupledLoss(nn.Module):
    """InfoNCE whose denominator leaves out the positives: `-s_ii + log sum_{j != i} exp(s_ij)`.

    A positive that is met already no longer weakens the pull of negatives, which helps small
    batches. Mean of image to text and text to image; s are cosines divided by the temperature.

    With `image_ids` or `text_ids`, pair (i, j) is a positive too where both have the same image or
    the same text: the first term is the mean over positives, and none of them is in the sum.

    Gradients are analytic and memory is O(batch), beside tiles of fixed size; they cannot be
    differentiated again. In several processes each passes its own rows, and the mean of values and of
    gradients, in which each counts by its number of rows, is that of the whole batch.

    Args:
        temperature: where the temperature starts, > 0 (dimensionless, divides cosines).
        learnable: whether the temperature trains.
        max_scale: upper bound of the inverse temperature.

    Raises:
        ArgumentError: an argument is out of its range.
        LossError: a pair has no negative, shapes or ids do not fit, or a second derivative
            is asked for.

    Source: Yeh et al. 2022, arXiv 2110.06848, equation 6, with the batch of the other side as
    negatives.
    """

    claims = ("splits-over-processes", "minimum-at-simplex")

    @in_range
    def __init__(
        self,
        *,
        temperature: PositiveFloat = 0.07,
        learnable: bool = True,
        max_scale: PositiveFloat = 100.0,
    ) -> None:
        super().__init__()
        self.max_scale = max_scale
        self.logit_scale = logit_scale("decoupled", temperature, learnable, max_scale)

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
        check_negatives("decoupled", batch)
        scale = bounded_scale(self.logit_scale, self.max_scale)
        to_text, to_image = directions(batch, scale, only_negatives=True)
        return (
            (to_text.log_sums[0] - to_text.positive) + (to_image.log_sums[0] - to_image.positive)
        ).mean() / 2
