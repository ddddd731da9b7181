"""All that can be asked of a model on a dataset, from embeddings that are computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zoo.clip import CLIP
from zoo.data.pairs import ImageTextDataset, Pair, one_per_concept
from zoo.errors import DataError, suggestion
from zoo.evaluation.classification import Classification
from zoo.evaluation.embeddings import check_both_towers, embed_pictures, embed_texts
from zoo.evaluation.neighbours import nearest_neighbours
from zoo.evaluation.probe import Probe, linear_probe
from zoo.evaluation.prompts import Prompts
from zoo.evaluation.ranking import Ties
from zoo.evaluation.retrieval import Retrieval, retrieval
from zoo.evaluation.zero_shot import SCALE, class_embeds, zero_shot
from zoo.recipe import Precision
from zoo.training.features import Progress

__all__ = ["Suite"]


class Suite:
    """A model and a split of a dataset.

    Args:
        per_concept: of every concept, only the first picture.
        first_caption: of every picture, only the first caption.
    """

    def __init__(
        self,
        model: CLIP,
        dataset: ImageTextDataset,
        split: str = "test",
        progress: Progress | None = None,
        *,
        per_concept: bool = False,
        first_caption: bool = False,
        precision: Precision = "auto",
    ) -> None:
        self.model, self.dataset, self.split = model, dataset, split
        pairs = dataset.split(split)
        self.pairs = one_per_concept(pairs) if per_concept else pairs
        captions = [pair.captions[:1] if first_caption else pair.captions for pair in self.pairs]
        self.captions = [each for some in captions for each in some]
        self.text_image: Int[Tensor, " texts"] = torch.arange(len(captions)).repeat_interleave(
            torch.tensor([len(some) for some in captions])
        )
        self.progress, self.precision = progress, precision
        self._learnt_from: dict[str, Tensor] = {}

    @cached_property
    def image_embeds(self) -> Float[Tensor, "images dim"]:
        """Of every picture."""
        return self._pictures(self.pairs)

    @cached_property
    def text_embeds(self) -> Float[Tensor, "texts dim"]:
        """Of every caption; whose each is stands in `text_image`."""
        return embed_texts(self.model, self.captions, self.progress, precision=self.precision)

    @property
    def shared_captions(self) -> int:
        """How many captions another picture has too, word for word: ties that cannot be won."""
        pictures: dict[str, set[int]] = {}
        for caption, picture in zip(self.captions, self.text_image.tolist(), strict=True):
            pictures.setdefault(caption, set()).add(picture)
        return sum(len(pictures[caption]) > 1 for caption in self.captions)

    @property
    def scale(self) -> float:
        """The inverse temperature of the model's loss, or clip-benchmark's if it has none."""
        temperature = getattr(self.model.loss, "temperature", None)
        return 1 / float(temperature) if temperature else SCALE

    def retrieval(self, *, ties: Ties = "against") -> Retrieval:
        """Between all pictures and all captions."""
        check_both_towers(self.model)
        return retrieval(self.image_embeds, self.text_embeds, self.text_image, ties=ties)

    def zero_shot(self, prompts: Prompts, *, scale: float | None = None) -> Classification:
        """Concepts as classes, each called by its first picture's first caption.

        Raises:
            DataError: the prompts name a concept that there is not.
        """
        check_both_towers(self.model)
        concepts, labels = _labels(self.pairs)
        for name in prompts.names:
            if name not in concepts:
                raise DataError(
                    f"the prompts name a class {name!r}, which is not in the split {self.split!r}."
                    f"{suggestion(name, concepts)}"
                )
        names = [prompts.names.get(concept, caption) for concept, caption in concepts.items()]
        classes = class_embeds(self.model, names, prompts, self.progress, precision=self.precision)
        factor = self.scale if scale is None else scale
        return zero_shot(self.image_embeds, classes, labels, names, scale=factor)

    def linear_probe(self, train: str = "train", *, c: float | None = None) -> Probe:
        """Concepts as classes, learnt from another split."""
        embeds, labels, own, classes = self._taught(train)
        return linear_probe(embeds, labels, self.image_embeds, own, classes, c=c)

    def nearest_neighbours(self, train: str = "train", *, k: int = 20) -> Classification:
        """Concepts as classes, by the pictures of another split."""
        embeds, labels, own, classes = self._taught(train)
        return nearest_neighbours(embeds, labels, self.image_embeds, own, classes, k=k)

    def _taught(self, train: str) -> tuple[Tensor, Tensor, Tensor, list[str]]:
        pairs = self.dataset.split(train)
        concepts, labels = _labels(pairs)
        strange = {pair.concept: pair for pair in self.pairs if pair.concept not in concepts}
        if strange:
            raise DataError(
                f"{len(strange)} classes of the split {self.split!r} are not in {train!r}, and "
                f"nothing can be learnt of them: {next(iter(strange.values())).captions[0]!r}"
            )
        if train not in self._learnt_from:
            self._learnt_from[train] = self._pictures(pairs)
        own = _rows(self.pairs, concepts)
        return self._learnt_from[train], labels, own, list(concepts.values())

    def _pictures(self, pairs: Sequence[Pair]) -> Tensor:
        pictures = [pair.picture for pair in pairs]
        return embed_pictures(self.model, pictures, self.progress, precision=self.precision)


def _labels(pairs: Sequence[Pair]) -> tuple[dict[str, str], Tensor]:
    """Concepts with what each is called, and the concept of every pair."""
    concepts = {pair.concept: pair.captions[0] for pair in one_per_concept(pairs)}
    return concepts, _rows(pairs, concepts)


def _rows(pairs: Sequence[Pair], concepts: Mapping[str, Any]) -> Tensor:
    rows = {concept: row for row, concept in enumerate(concepts)}
    return torch.tensor([rows[pair.concept] for pair in pairs])
