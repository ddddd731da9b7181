"""The symmetric contrastive loss of CLIP."""

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.arguments import PositiveFloat, Probability, in_range
from zoo.errors import LossError
from zoo.losses.batch import gather_batch
from zoo.losses.softmax import directions
from zoo.losses.temperature import bounded_scale, logit_scale, temperature_of

__all__ = ["InfoNCELoss", "examples"]


def examples() -> list[str | dict[str, Any]]:
    """What the conformance kit is to make."""
    return ["info-nce", {"name": "info-nce", "args": {"only_image_to_text": True}}]


class InfoNCELoss(nn.Module):
    """Mean of image-to-text and text-to-image cross-entropy; pair i belongs to pair i.

    Owns `logit_scale`, the logarithm of the inverse temperature. As in the CLIP paper it starts
    at a temperature of 0.07 and the scale never exceeds 100.

    With `image_ids` or `text_ids`, pair (i, j) is a positive too where both have the same image or
    the same text, and the target of a row is spread evenly over its positives, as in supervised
    contrastive learning with the sum outside the logarithm.

    Gradients are analytic and memory is O(batch), beside tiles of fixed size; they cannot be
    differentiated again.

    In several processes (`torch.distributed`) every process passes its own rows, and negatives come
    from all of them. The mean over processes of the values, and of the gradients, in which each counts
    by its number of rows, is what one process with all rows would get.

    Args:
        temperature: where the temperature starts, > 0 (dimensionless, divides cosines).
        learnable: whether the temperature trains.
        max_scale: upper bound of the inverse temperature.
        label_smoothing: share of each target spread evenly over the batch, in [0, 1).
        only_image_to_text: leave out the text-to-image half. What is left is a sum over images.

    Raises:
        ArgumentError: an argument is out of its range.
        LossError: shapes or ids do not fit, or a second derivative is asked for.

    Source: Radford et al. 2021, arXiv 2103.00020, section 2.5 and figure 3; for several positives
    Khosla et al. 2020, arXiv 2004.11362, equation 2.
    """

    @in_range
    def __init__(
        self,
        *,
        temperature: PositiveFloat = 0.07,
        learnable: bool = True,
        max_scale: PositiveFloat = 100.0,
        label_smoothing: Probability = 0.0,
        only_image_to_text: bool = False,
    ) -> None:
        super().__init__()
        # Smoothed targets are met best a little off the aligned arrangement.
        self.claims: tuple[str, ...] = ("splits-over-processes",)
        if not label_smoothing:
            self.claims += ("minimum-at-simplex",)
        self.max_scale = max_scale
        self.label_smoothing = label_smoothing
        self.only_image_to_text = only_image_to_text
        self.logit_scale = logit_scale("info-nce", temperature, learnable, max_scale)

    @property
    def temperature(self) -> float:
        """The temperature in force, after the bound."""
        return temperature_of(self.logit_scale, self.max_scale)

    @property
    def sums_over_images(self) -> bool:
        """Whether `over_images` can be used."""
        return self.only_image_to_text

    def forward(
        self,
        image_embeds: Float[Tensor, "batch dim"],
        text_embeds: Float[Tensor, "batch dim"],
        image_ids: Int[Tensor, " batch"] | None = None,
        text_ids: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, ""]:
        return self._loss(image_embeds, text_embeds, image_ids, text_ids, None)

    def over_images(
        self,
        image_embeds: Float[Tensor, "rows dim"],
        text_embeds: Float[Tensor, "batch dim"],
        first: int,
        image_ids: Int[Tensor, " batch"] | None = None,
        text_ids: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, ""]:
        """What some images of a batch add to its loss; `first` is the pair that they begin with.

        Raises:
            LossError: the text-to-image half is in the loss, which is no sum over images.
        """
        if not self.only_image_to_text:
            raise LossError(
                "info-nce with its text-to-image half is no sum over images; "
                "only_image_to_text = true leaves that half out"
            )
        return self._loss(image_embeds, text_embeds, image_ids, text_ids, first)

    def _loss(
        self,
        image_embeds: Tensor,
        text_embeds: Tensor,
        image_ids: Tensor | None,
        text_ids: Tensor | None,
        first: int | None,
    ) -> Tensor:
        batch = gather_batch(image_embeds, text_embeds, image_ids, text_ids, first)
        ways = directions(
            batch,
            bounded_scale(self.logit_scale, self.max_scale),
            smoothing=self.label_smoothing,
            both=not self.only_image_to_text,
        )
        losses = [(way.log_sums[0] - way.positive).sum() for way in ways]
        return sum(losses[1:], start=losses[0]) / (len(losses) * batch.count)
