"""Distillation of a teacher's affinities between images and texts."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.arguments import PositiveFloat, Share, in_range
from zoo.errors import LossError
from zoo.losses.batch import Batch, gather_batch
from zoo.losses.gather import gather_rows
from zoo.losses.softmax import directions
from zoo.losses.temperature import bounded_scale, logit_scale, temperature_of
from zoo.losses.tiles import Memory, Tile, reduce_pairs

__all__ = ["DistillationLoss"]


class DistillationLoss(nn.Module):
    """`(1 - weight) * InfoNCE + weight * KL`, with the divergence from a teacher's affinities.

    A row of affinities is the softmax of an image's logits with all texts of the batch, or of a
    text's with all images; the divergence is `KL(teacher || student)`, the mean over rows and over
    both ways. The teacher's embeddings are stored ones, L2-normalised, of any dimension, and get no
    gradient; the teacher has a temperature of its own.

    With `image_ids` or `text_ids` InfoNCE has several positives, and the divergence stays as it is.

    Gradients are analytic and memory is O(batch), beside tiles of fixed size; they cannot be
    differentiated again. In several processes each passes its own rows, and the mean of values and of
    gradients, in which each counts by its number of rows, is that of the whole batch.

    Args:
        temperature: where the student's temperature starts, > 0 (dimensionless, divides cosines).
        teacher_temperature: the teacher's, > 0; that of OpenAI's CLIP is 0.01.
        weight: of the divergence, in [0, 1].
        learnable: whether the student's temperature trains.
        max_scale: upper bound of the student's inverse temperature.

    Raises:
        ArgumentError: an argument is out of its range.
        LossError: there are no teacher embeddings, shapes or ids do not fit, or a second
            derivative is asked for.

    Source: Vasu et al. 2024 (MobileCLIP), arXiv 2311.17049, section 3.2; Wu et al. 2023 (TinyCLIP),
    arXiv 2309.12314, where the term is called affinity mimicking.
    """

    claims = ("splits-over-processes",)

    @in_range
    def __init__(
        self,
        *,
        temperature: PositiveFloat = 0.07,
        teacher_temperature: PositiveFloat = 0.01,
        weight: Share = 0.5,
        learnable: bool = True,
        max_scale: PositiveFloat = 100.0,
    ) -> None:
        super().__init__()
        self.teacher_temperature = teacher_temperature
        self.weight = weight
        self.max_scale = max_scale
        self.logit_scale = logit_scale("distillation", temperature, learnable, max_scale)

    @property
    def temperature(self) -> float:
        """The student's temperature in force, after the bound."""
        return temperature_of(self.logit_scale, self.max_scale)

    def forward(
        self,
        image_embeds: Float[Tensor, "batch dim"],
        text_embeds: Float[Tensor, "batch dim"],
        image_ids: Int[Tensor, " batch"] | None = None,
        text_ids: Int[Tensor, " batch"] | None = None,
        teacher_image_embeds: Float[Tensor, "batch teacher_dim"] | None = None,
        teacher_text_embeds: Float[Tensor, "batch teacher_dim"] | None = None,
    ) -> Float[Tensor, ""]:
        if teacher_image_embeds is None or teacher_text_embeds is None:
            raise LossError(
                "the loss 'distillation' takes teacher_image_embeds and teacher_text_embeds, the "
                "teacher's embeddings of the same pairs; without a teacher, info-nce is this loss"
            )
        for name, embeds in (
            ("teacher_image_embeds", teacher_image_embeds),
            ("teacher_text_embeds", teacher_text_embeds),
        ):
            if len(embeds) != len(text_embeds):
                raise LossError(f"{name} has {len(embeds)} rows for {len(text_embeds)} pairs")
        batch = gather_batch(image_embeds, text_embeds, image_ids, text_ids)
        scale = bounded_scale(self.logit_scale, self.max_scale).to(batch.images.dtype)
        ways = directions(batch, scale)
        contrast = sum((way.log_sums[0] - way.positive).sum() for way in ways)
        with torch.no_grad():
            teacher = _Teacher(
                gather_batch(
                    teacher_image_embeds.to(batch.images.dtype),
                    teacher_text_embeds.to(batch.images.dtype),
                ),
                1 / self.teacher_temperature,
            )
        # KL is the teacher's negative entropy, less the mean logit under it, plus the log-sum-exp.
        entropy, logits = reduce_pairs(teacher, batch.images, batch.texts, scale)
        divergence = sum(way.log_sums[0].sum() for way in ways) - logits.sum() - entropy.sum()
        whole = (1 - self.weight) * contrast + self.weight * divergence
        return whole / (2 * batch.count)


class _Teacher:
    """Sums of the student's logits weighted by the teacher's affinities, and the teacher's entropies."""

    def __init__(self, batch: Batch, scale: float) -> None:
        self.images, self.texts = batch.images, batch.texts
        self.scale = self.images.new_tensor(scale)
        to_text, to_image = directions(batch, self.scale)
        self.of_rows = to_text.log_sums[0]
        self.of_columns = gather_rows(to_image.log_sums[0][:, None], batch.counts)[:, 0]

    def start(self, images: Tensor, texts: Tensor) -> None:
        self.entropy = images.new_zeros(images.shape[0])
        self.weighted = images.new_zeros(images.shape[0])

    def see(self, logits: Tensor, tile: Tile, memory: Memory) -> None:
        theirs, room = self._logits(tile, memory), memory(2, logits.shape)
        log_probabilities = memory(3, logits.shape)
        for log_sums in self._log_sums(tile):
            torch.sub(theirs, log_sums, out=log_probabilities)
            torch.exp(log_probabilities, out=room).mul_(logits)
            self.weighted[tile.rows] += room.sum(1)
            torch.exp(log_probabilities, out=room).mul_(log_probabilities)
            self.entropy[tile.rows] -= room.sum(1)

    def results(self) -> tuple[Tensor, ...]:
        return self.entropy, self.weighted

    def gradient(
        self, logits: Tensor, tile: Tile, gradients: tuple[Tensor, ...], memory: Memory
    ) -> Tensor:
        theirs, room = self._logits(tile, memory), memory(2, logits.shape)
        by_row, by_column = self._log_sums(tile)
        torch.sub(theirs, by_row, out=room).exp_()
        return theirs.sub_(by_column).exp_().add_(room).mul_(gradients[1][tile.rows, None])

    def _logits(self, tile: Tile, memory: Memory) -> Tensor:
        rows, columns = self.images[tile.rows], self.texts[tile.columns]
        room = memory(1, (rows.shape[0], columns.shape[0]))
        return torch.mm(rows, columns.T, out=room).mul_(self.scale)

    def _log_sums(self, tile: Tile) -> tuple[Tensor, Tensor]:
        return self.of_rows[tile.rows, None], self.of_columns[tile.columns]
