"""The pairwise sigmoid loss of SigLIP."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.arguments import FiniteFloat, PositiveFloat, in_range
from zoo.losses.batch import gather_batch
from zoo.losses.positives import Positives
from zoo.losses.temperature import logit_scale, temperature_of
from zoo.losses.tiles import Memory, Tile, sum_pairs

__all__ = ["SigLIPLoss"]


class SigLIPLoss(nn.Module):
    """Logistic loss of every pair on its own, summed over all pairs and divided by the batch.

    The logit of a pair is its cosine times `exp(logit_scale)` plus `logit_bias`, and its label is
    +1 for pair i with pair i and -1 for others. With `image_ids` or `text_ids` the label of pair
    (i, j) is +1 too where both have the same image or the same text.

    It starts, as published, at a temperature of 0.1 and a bias of -10, which suits batches of some
    ten thousand pairs: random embeddings cost least at a bias of `-log(batch - 1)`.

    Gradients are analytic and memory is O(batch), beside tiles of fixed size; they cannot be
    differentiated again. In several processes each passes its own rows, and the mean of values and of
    gradients, in which each counts by its number of rows, is that of the whole batch.

    Args:
        temperature: where the temperature starts, > 0 (dimensionless, divides cosines).
        bias: where the bias starts (dimensionless, added to logits).
        learnable: whether temperature and bias train.

    Raises:
        ArgumentError: an argument is out of its range.
        LossError: shapes or ids do not fit, or a second derivative is asked for.

    Source: Zhai et al. 2023, arXiv 2303.15343, equation 1 and algorithm 1.
    """

    claims = ("splits-over-processes",)
    sums_over_images = True

    @in_range
    def __init__(
        self, *, temperature: PositiveFloat = 0.1, bias: FiniteFloat = -10.0, learnable: bool = True
    ) -> None:
        super().__init__()
        self.logit_scale = logit_scale("siglip", temperature, learnable)
        self.logit_bias = nn.Parameter(torch.tensor(float(bias)), requires_grad=learnable)

    @property
    def temperature(self) -> float:
        """The temperature in force."""
        return temperature_of(self.logit_scale)

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
        """What some images of a batch add to its loss; `first` is the pair that they begin with."""
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
        total = sum_pairs(
            _LogisticLoss(batch.positives),
            batch.images,
            batch.texts,
            self.logit_scale.exp().to(batch.images.dtype),
            self.logit_bias.to(batch.images.dtype),
        )
        return total / batch.count


class _LogisticLoss:
    """`log(1 + exp(-label * logit))`."""

    def __init__(self, positives: Positives) -> None:
        self.positives = positives

    def value_and_gradient(
        self, logits: Tensor, tile: Tile, wanted: bool, memory: Memory
    ) -> tuple[Tensor, Tensor | None]:
        self.positives.negate_(logits, tile, memory)  # logits of mistakes now: -label * logit
        room = memory(1, logits.shape)
        # log(1 + exp(x)) as max(x, 0) + log(1 + exp(-|x|)), which is exact for large x.
        value = torch.abs(logits, out=room).neg_().exp_().log1p_().sum()
        value += torch.clamp(logits, min=0, out=room).sum()
        if not wanted:
            return value, None
        gradient = logits.sigmoid_()
        self.positives.negate_(gradient, tile, memory)
        return value, gradient
