"""`CLIP` and its two towers: encoder, projection head, L2 normalisation."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from os import PathLike
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn

from zoo.data.pictures import Picture, open_picture
from zoo.errors import DataError, TowerError
from zoo.spec import ModelSpec, TrainMode

__all__ = ["CLIP", "CLIPImageEncoder", "CLIPTextEncoder", "Tower", "evaluating"]

_Module = TypeVar("_Module", bound=nn.Module)
_Item = TypeVar("_Item")


class CLIPImageEncoder(nn.Module):
    """The image tower: pictures as tensors to unit vectors.

    Args:
        encoder: `Float[B, 3, H, W]` -> `Float[B, out_dim]`.
        head: `Float[B, out_dim]` -> `Float[B, D]`; or, if it `takes_tokens`, from the encoder's
            features before pooling, `Float[B, N, C]` -> `Float[B, D]`.
        train_mode: `full`, `head` (the encoder is frozen) or `frozen` (both are).
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, train_mode: TrainMode = "full") -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.frozen_parts = _freeze(self, train_mode)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        return self.project(self.features(images))

    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch ..."]:
        """What the encoder says, before the head: constant while the encoder is frozen."""
        encode: Any = self.encoder
        if getattr(self.head, "takes_tokens", False):
            encode = encode.forward_tokens
        with _no_grad_if_frozen(self, "encoder"):
            features: Tensor = encode(images)
        return features

    def project(self, features: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch dim"]:
        """From features to the unit vectors of the shared space."""
        with _no_grad_if_frozen(self, "head"):
            return F.normalize(self.head(features), dim=-1)

    def train(self: _Module, mode: bool = True) -> _Module:
        """Set train or eval mode; frozen parts stay in eval mode."""
        super().train(mode)
        _frozen_to_eval(self)
        return self


class CLIPTextEncoder(nn.Module):
    """The text tower: token ids to unit vectors.

    Args:
        encoder: `Int[B, L]` ids and mask -> `Float[B, out_dim]`.
        head: `Float[B, out_dim]` -> `Float[B, D]`.
        train_mode: `full`, `head` (the encoder is frozen) or `frozen` (both are).
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, train_mode: TrainMode = "full") -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.frozen_parts = _freeze(self, train_mode)

    def forward(
        self, input_ids: Int[Tensor, "batch length"], attention_mask: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch dim"]:
        return self.project(self.features(input_ids, attention_mask))

    def features(
        self, input_ids: Int[Tensor, "batch length"], attention_mask: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch features"]:
        """What the encoder says, before the head: constant while the encoder is frozen."""
        with _no_grad_if_frozen(self, "encoder"):
            features: Tensor = self.encoder(input_ids, attention_mask)
        return features

    def project(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch dim"]:
        """From features to the unit vectors of the shared space."""
        with _no_grad_if_frozen(self, "head"):
            return F.normalize(self.head(features), dim=-1)

    def train(self: _Module, mode: bool = True) -> _Module:
        """Set train or eval mode; frozen parts stay in eval mode."""
        super().train(mode)
        _frozen_to_eval(self)
        return self


Tower = CLIPImageEncoder | CLIPTextEncoder


class CLIP(nn.Module):
    """Two towers that meet in one space of unit vectors. Either may be left out.

    The loss is kept beside the towers, not inside: it follows `.to()`, and its temperature is no
    parameter of the model's. An optimizer takes `model.get_trainable_parameters()` and
    `model.loss.parameters()`.

    Args:
        image_encoder: the image tower, or None.
        text_encoder: the text tower, or None.
        loss: `(image_embeds, text_embeds) -> scalar`.
        spec: the fully resolved spec the model was built from.
        provenance: for every component, the name it was asked by, its origin and its weights.
    """

    loss: nn.Module | None

    def __init__(
        self,
        image_encoder: CLIPImageEncoder | None,
        text_encoder: CLIPTextEncoder | None,
        *,
        loss: nn.Module | None = None,
        spec: ModelSpec | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder
        self.loss = loss
        self.spec = spec
        self.provenance = provenance or {}

    def forward(
        self,
        images: Float[Tensor, "batch 3 height width"],
        input_ids: Int[Tensor, "batch length"],
        attention_mask: Int[Tensor, "batch length"],
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]]:
        return self.encode_image(images), self.encode_text(input_ids, attention_mask)

    def encode_image(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch dim"]:
        """Preprocessed pictures to unit vectors."""
        tower: CLIPImageEncoder = self._tower("image")
        if images.ndim != 4 or images.shape[1] != 3:
            raise DataError(
                f"images are (batch, 3, height, width), not {tuple(images.shape)}; model.preprocess "
                "makes one from a picture"
            )
        embeds: Tensor = tower(images)
        return embeds

    def encode_text(
        self, input_ids: Int[Tensor, "batch length"], attention_mask: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch dim"]:
        """Token ids, and a mask of 1 where there is a token, to unit vectors."""
        tower: CLIPTextEncoder = self._tower("text")
        embeds: Tensor = tower(input_ids, attention_mask)
        return embeds

    def preprocess(self, picture: Picture) -> Float[Tensor, "3 height width"]:
        """A picture, or the path of one, as the image encoder wants it."""
        tensor: Tensor = self._tower("image").encoder.preprocess(open_picture(picture))
        return tensor

    def tokenize(self, texts: Sequence[str] | str) -> dict[str, Int[Tensor, "batch length"]]:
        """Texts to `input_ids` and `attention_mask`, cut to the encoder's context length."""
        texts = [texts] if isinstance(texts, str) else list(texts)
        tokens: dict[str, Tensor] = self._tower("text").encoder.tokenizer(texts)
        return tokens

    def embed_images(
        self, pictures: Sequence[Picture] | Picture, *, batch_size: int = 32
    ) -> Float[Tensor, "count dim"]:
        """Pictures, or their paths, to unit vectors: eval mode, no gradients, `float32` on the CPU."""
        if isinstance(pictures, (str, PathLike, Image.Image)):
            pictures = [pictures]
        tower = self._tower("image")
        with evaluating(tower), torch.no_grad():
            embeds = [
                self.encode_image(
                    torch.stack([self.preprocess(each) for each in batch]).to(_device(tower))
                )
                for batch in _batches(pictures, batch_size)
            ]
        return _joined(embeds, self.spec)

    def embed_texts(
        self, texts: Sequence[str] | str, *, batch_size: int = 256
    ) -> Float[Tensor, "count dim"]:
        """Texts to unit vectors: eval mode, no gradients, `float32` on the CPU."""
        tower = self._tower("text")
        with evaluating(tower), torch.no_grad():
            embeds = [
                self.encode_text(
                    **{key: ids.to(_device(tower)) for key, ids in self.tokenize(batch).items()}
                )
                for batch in _batches([texts] if isinstance(texts, str) else texts, batch_size)
            ]
        return _joined(embeds, self.spec)

    def get_trainable_parameters(self) -> list[nn.Parameter]:
        """The parameters that an optimizer should update: no frozen one is among them."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def parameter_counts(self) -> dict[str, tuple[int, int]]:
        """Trainable and frozen parameters of each part: `image.encoder`, `image.head`, …"""
        counts = {}
        for side in ("image", "text"):
            tower = getattr(self, f"{side}_encoder")
            for part in ("encoder", "head") if tower is not None else ():
                parameters = list(getattr(tower, part).parameters())
                trainable = sum(each.numel() for each in parameters if each.requires_grad)
                counts[f"{side}.{part}"] = (
                    trainable,
                    sum(map(torch.numel, parameters)) - trainable,
                )
        return counts

    def print_parameter_summary(self) -> None:
        """Print a table of trainable and frozen parameters, part by part."""
        counts = self.parameter_counts()
        trainable = sum(count[0] for count in counts.values())
        frozen = sum(count[1] for count in counts.values())
        print(f"{'part':<16}{'trainable':>14}{'frozen':>14}")
        for part, (some, others) in [*counts.items(), ("total", (trainable, frozen))]:
            print(f"{part:<16}{some:>14,}{others:>14,}")
        share = trainable / max(trainable + frozen, 1)
        print(f"{share:.0%} of {trainable + frozen:,} parameters train")

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "loss":  # beside the towers: not to be registered as a part
            self.__dict__["loss"] = value
        else:
            super().__setattr__(name, value)

    def _tower(self, side: str) -> Any:
        tower = getattr(self, f"{side}_encoder")
        if tower is None:
            raise TowerError(
                f"this model was built without its {side} tower; build it with towers that "
                f"include {side!r}, or use the {'text' if side == 'image' else 'image'} side only"
            )
        return tower

    def _apply(self: "CLIP", fn: Any, recurse: bool = True) -> "CLIP":
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.loss is not None:
            self.loss._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


def _freeze(tower: Tower, mode: TrainMode) -> tuple[str, ...]:
    """Take the frozen parts out of training, and name them."""
    parts = {"full": (), "head": ("encoder",), "frozen": ("encoder", "head")}[mode]
    for part in parts:
        getattr(tower, part).requires_grad_(False).eval()
    return parts


def _frozen_to_eval(tower: Any) -> None:
    for part in tower.frozen_parts:
        getattr(tower, part).eval()


def _no_grad_if_frozen(tower: Tower, part: str) -> AbstractContextManager[Any]:
    return torch.set_grad_enabled(torch.is_grad_enabled() and part not in tower.frozen_parts)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode inside, and every submodule's former mode afterwards."""
    modes = {each: each.training for each in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for each, mode in modes.items():
            each.training = mode


def _device(module: nn.Module) -> torch.device:
    return next((each.device for each in module.parameters()), torch.device("cpu"))


def _batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    if size < 1:
        raise DataError(f"batch_size is 1 or more, not {size}")
    return (items[start : start + size] for start in range(0, len(items), size))


def _joined(embeds: list[Tensor], spec: ModelSpec | None) -> Tensor:
    if not embeds:
        return torch.zeros(0, spec.embedding_dim if spec else 0)
    return torch.cat(embeds).float().cpu()
