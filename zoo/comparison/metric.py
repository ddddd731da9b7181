"""What models are compared by: a direction of retrieval, and what the ranks of concepts are worth in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor

from zoo.comparison.results import Ranks
from zoo.errors import SpecError

__all__ = ["METRIC", "Metric"]

METRIC = "image_to_text.recall@1"


@dataclass(frozen=True)
class Metric:
    """More is better."""

    direction: Literal["image_to_text", "text_to_image"]
    k: int | None
    """Of recall; None for the mean of 1 / rank, which is `map` with one right answer each."""

    @classmethod
    def of(cls, said: str) -> Metric:
        """From a name such as `text_to_image.recall@5`.

        Raises:
            SpecError: it is none.
        """
        found = re.fullmatch(r"(image_to_text|text_to_image)\.(recall@([1-9]\d*)|map)", said)
        if found is None:
            raise SpecError(
                f"the metric {said!r} is none of image_to_text.recall@K, image_to_text.map, "
                "text_to_image.recall@K and text_to_image.map"
            )
        direction = cast(Literal["image_to_text", "text_to_image"], found[1])
        return cls(direction, int(found[3]) if found[3] else None)

    def of_concepts(self, ranks: Ranks) -> Float[Tensor, " concepts"]:
        """Its value for each concept."""
        places = torch.tensor(getattr(ranks, self.direction))
        return 1 / places.double() if self.k is None else (places <= self.k).double()
