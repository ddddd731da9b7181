"""Classification, from a score for every picture and class: accuracy, confusion, calibration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zoo.errors import DataError
from zoo.evaluation.bootstrap import Estimate, Resampling, bootstrap

__all__ = ["Classification", "classification"]

_BINS = 15


@dataclass(frozen=True, eq=False)
class Classification:
    """What a classifier said of each picture.

    Args:
        labels: the right class of each picture, as a row of `classes`.
        predictions: the class it chose; of classes that are equally likely, a wrong one.
        ranks: place of the right class, from 1.
        confidences: the probability that it gave to its choice.
    """

    classes: tuple[str, ...]
    labels: Int[Tensor, " pictures"]
    predictions: Int[Tensor, " pictures"]
    ranks: Int[Tensor, " pictures"]
    confidences: Float[Tensor, " pictures"]

    def accuracy(self, k: int = 1) -> float:
        """Share of pictures whose class is among the first k; 1 if k is all of the classes."""
        if k < 1:
            raise DataError(f"accuracy is asked at k = 1 or more, not {k}")
        return (self.ranks <= k).double().mean().item()

    def confusion(self) -> Int[Tensor, "classes classes"]:
        """How many pictures of the class of a row were taken for the class of a column."""
        count = len(self.classes)
        cells = torch.bincount(self.labels * count + self.predictions, minlength=count**2)
        return cells.view(count, count)

    def per_class(self) -> list[dict[str, Any]]:
        """Of each class: `pictures`, `recall`, `precision`, and `taken_for`, the usual mistake.

        Recall is None without pictures of the class, precision without choices of it.
        """
        table = self.confusion()
        mistakes = table.clone().fill_diagonal_(0)
        said = []
        for row, name in enumerate(self.classes):
            right, pictures, chosen = (
                int(each) for each in (table[row, row], table[row].sum(), table[:, row].sum())
            )
            mistake = int(mistakes[row].argmax())
            said.append(
                {
                    "class": name,
                    "pictures": pictures,
                    "recall": right / pictures if pictures else None,
                    "precision": right / chosen if chosen else None,
                    "taken_for": self.classes[mistake] if mistakes[row, mistake] else None,
                }
            )
        return said

    def estimates(
        self, ks: Sequence[int] = (1, 5), resampling: Resampling | None = None
    ) -> dict[str, Estimate]:
        """Every metric with its interval: `accuracy@k`, `mean_per_class_recall`, `ece`.

        In an interval of the mean over classes, a picture weighs as much as its class has few.
        The expected calibration error is the mean gap between confidence and accuracy over 15 bins
        of equal width (Guo et al. 2017, arXiv 1706.04599, equation 3).
        """
        for k in ks:
            self.accuracy(k)
        pictures, hits = len(self.labels), (self.ranks <= 1).double()
        shares = torch.stack([(self.ranks <= k).double() for k in ks], 1)
        gaps = hits - self.confidences
        weights = 1 / torch.bincount(self.labels)[self.labels].double()
        bins = (self.confidences * _BINS).ceil().long().clamp(1, _BINS) - 1

        def statistics(drawn: Tensor) -> Tensor:
            balanced = drawn @ (hits * weights) / (drawn @ weights)
            in_bins = torch.zeros(len(drawn), _BINS, dtype=drawn.dtype)
            error = in_bins.index_add_(1, bins, drawn * gaps).abs().sum(1) / pictures
            return torch.cat([drawn @ shares / pictures, balanced[:, None], error[:, None]], 1)

        names = [*(f"accuracy@{k}" for k in ks), "mean_per_class_recall", "ece"]
        return bootstrap(statistics, names, pictures, resampling)


def classification(
    scores: Iterable[Float[Tensor, "block classes"]],
    labels: Int[Tensor, " pictures"],
    classes: Sequence[str],
    *,
    width: float,
) -> Classification:
    """Judge the scores of pictures, block after block; probabilities are their softmax.

    Args:
        width: how far apart scores may be and still count as equal. A class as likely as the right
            one comes before it.

    Raises:
        DataError: a score is NaN, there is no class or no picture, or a label is out of range.
    """
    if not len(labels) or not classes:
        raise DataError(f"{len(labels)} pictures and {len(classes)} classes: nothing to classify")
    if labels.min() < 0 or labels.max() >= len(classes):
        raise DataError(f"a label is not a number from 0 to {len(classes) - 1}")
    ranks, predictions, confidences = [], [], []
    start = 0
    for block in scores:
        if not block.isfinite().all():
            raise DataError("the scores of classes hold NaN or infinity, so that none is the best")
        own = labels[start : start + len(block), None]
        mine = block.gather(1, own)
        others = block.scatter(1, own, -torch.inf)
        rank = (others >= mine - width).sum(1) + 1
        ranks.append(rank)
        predictions.append(torch.where(rank == 1, own[:, 0], others.argmax(1)))
        confidences.append(block.double().softmax(1).amax(1))
        start += len(block)
    if start != len(labels):
        raise DataError(f"scores of {start} pictures, and labels of {len(labels)}")
    return Classification(
        tuple(classes),
        labels,
        torch.cat(predictions),
        torch.cat(ranks),
        torch.cat(confidences),
    )
