"""The contracts of components as types. What zoo relies on stands here; the kit checks that it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from jaxtyping import Float, Int
    from torch import Tensor, nn

    from zoo.data.pairs import ImageTextDataset
    from zoo.encoders.preprocess import Preprocess
    from zoo.weights.source import WeightsSource

__all__ = [
    "DatasetFactory",
    "EncoderFactory",
    "Head",
    "HeadFactory",
    "ImageEncoder",
    "Loss",
    "LossFactory",
    "OptionalEncoder",
    "OptionalHead",
    "OptionalImageEncoder",
    "OptionalLoss",
    "OptionalModule",
    "TextEncoder",
]


class ImageEncoder(Protocol):
    """Pictures to features."""

    out_dim: int
    """Number of features."""
    preprocess: Preprocess
    """How it wants its pictures, as data."""

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch out_dim"]: ...


class TextEncoder(Protocol):
    """Tokens to features."""

    out_dim: int
    """Number of features."""
    context_length: int
    """Longest text in tokens, special tokens included."""
    tokenizer: Callable[[list[str]], Mapping[str, Int[Tensor, "batch length"]]]
    """Texts to `input_ids` and `attention_mask` (1 on tokens), both int64."""

    def forward(
        self, input_ids: Int[Tensor, "batch length"], attention_mask: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch out_dim"]: ...


class Head(Protocol):
    """Features to the shared embedding space, before L2 normalisation."""

    def forward(
        self, features: Float[Tensor, "batch in_dim"]
    ) -> Float[Tensor, "batch out_dim"]: ...


class Loss(Protocol):
    """Two batches of unit vectors, pair i with pair i, to a scalar; owns its temperature and bias."""

    def forward(
        self, image_embeds: Float[Tensor, "batch dim"], text_embeds: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, ""]: ...


class OptionalModule(Protocol):
    """What any encoder, head or loss may have besides."""

    expected_failures: Mapping[str, str]
    """Conformance checks that are known to fail, and why, in words; in pytest and for `zoo check`."""


class OptionalImageEncoder(OptionalModule, Protocol):
    """What an image encoder may have besides."""

    any_size: bool
    """Whether it takes pictures of other sizes than `preprocess.crop`."""
    weights_source: WeightsSource | None
    """Where its weights came from (text encoders too)."""
    resolved_args: Mapping[str, Any]
    """Arguments of its factory that its weights decided, and a saved spec keeps (text encoders too)."""

    def forward_tokens(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch places channels"]:
        """Features before pooling, for heads that take them: a vector a place, row by row."""
        ...


class OptionalEncoder(OptionalModule, Protocol):
    """What an encoder of either side may have besides."""

    def save_files(self, folder: Path) -> None:
        """Write the small files that its factory needs to make it again, such as a tokenizer's.

        At loading the factory gets them as the argument `saved_files: Path | None = None`, if it
        takes that.
        """
        ...


class OptionalHead(OptionalModule, Protocol):
    """What a head may have besides."""

    takes_tokens: ClassVar[bool]
    """On its factory: it takes `Float[batch, places, in_dim]` from the encoder's `forward_tokens`."""
    fitted: Tensor
    """A buffer, of a head that has `fit`: whether it was called."""

    def fit(
        self,
        features: Float[Tensor, "rows in_dim"],
        targets: Float[Tensor, "rows out_dim"] | None = None,
    ) -> None:
        """Called once, before the first step, with the features of a frozen encoder for the training data.

        A text head is given those of the captions, and an image head those of the pictures, with the unit
        vectors of their captions as targets, if it takes any.

        One that takes `places` and `side` in place of targets ("image" or "text") goes with another
        such head: both are settled, then each is fitted to the other's places.
        """
        ...

    def settle(self, features: Float[Tensor, "rows in_dim"]) -> None:
        """Of a head that takes places: called before `fit`, to find what `place` needs."""
        ...

    def place(self, features: Float[Tensor, "batch in_dim"]) -> Float[Tensor, "batch rank"]:
        """Of a head that takes places: what the other is fitted to; both ranks make up the embedding."""
        ...


class OptionalLoss(OptionalModule, Protocol):
    """What a loss may have besides."""

    claims: tuple[str, ...]
    """Properties that not every loss has; each is checked where it is claimed."""
    embedding_dim: int
    """The one dimension of embeddings that it takes, where it does not take any."""
    sums_over_images: bool
    """Whether it is a sum over images, so that `over_images` can be used."""

    def forward(
        self,
        image_embeds: Float[Tensor, "batch dim"],
        text_embeds: Float[Tensor, "batch dim"],
        image_ids: Int[Tensor, " batch"] | None = None,
        text_ids: Int[Tensor, " batch"] | None = None,
        teacher_image_embeds: Float[Tensor, "batch teacher_dim"] | None = None,
        teacher_text_embeds: Float[Tensor, "batch teacher_dim"] | None = None,
    ) -> Float[Tensor, ""]:
        """Any of these arguments, by these names; what `forward` does not have is not passed.

        Pair (i, j) is a positive if both have the same image id or the same text id. A teacher's
        embeddings are stored ones, L2-normalised, and constant.
        """
        ...

    def over_images(
        self,
        image_embeds: Float[Tensor, "rows dim"],
        text_embeds: Float[Tensor, "batch dim"],
        first: int,
        image_ids: Int[Tensor, " batch"] | None = None,
        text_ids: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, ""]:
        """What the images of a micro-batch add to the loss of the whole batch.

        `first` is the pair that they begin with. The values and gradients of all micro-batches add
        up to those of the batch, so that each may be computed, and its graph let go, on its own.
        """
        ...


class EncoderFactory(Protocol):
    """Makes an encoder. `weights` has a default; None means random ones and needs no network."""

    def __call__(self, *, weights: str | None, **args: Any) -> nn.Module: ...


class HeadFactory(Protocol):
    """Makes a head for the sizes that zoo passes."""

    def __call__(self, *, in_dim: int, out_dim: int, **args: Any) -> nn.Module: ...


class LossFactory(Protocol):
    """Makes a loss."""

    def __call__(self, **args: Any) -> nn.Module: ...


class DatasetFactory(Protocol):
    """Makes a dataset, the same each time."""

    def __call__(self) -> ImageTextDataset: ...
