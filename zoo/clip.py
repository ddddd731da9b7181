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

from zoo.data.held import Held
from zoo.data.pictures import Picture, open_picture
from zoo.errors import DataError, SpecError, TowerError
from zoo.modes import apply_mode, keep_frozen, merge_adapters
from zoo.parameters import any_tensor, parameter_groups
from zoo.spec import ModelSpec, TrainMode, WithLoRA

__all__ = ["CLIP", "CLIPImageEncoder", "CLIPTextEncoder", "Tower", "evaluating"]

_Module = TypeVar("_Module", bound=nn.Module)
_Item = TypeVar("_Item")


class CLIPImageEncoder(nn.Module):
    """The image tower: pictures as tensors to unit vectors.

    Args:
        encoder: `Float[B, 3, H, W]` -> `Float[B, out_dim]`.
        head: `Float[B, out_dim]` -> `Float[B, D]`; or, if it `takes_tokens`, from the encoder's
            features before pooling, `Float[B, N, C]` -> `Float[B, D]`.
        train_mode: `full`, `head` (the encoder is frozen), `frozen` (both are), `Last` (all of the
            encoder is but its last blocks) or `WithLoRA` (all of it is but the adapters put in).
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, train_mode: TrainMode = "full") -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.train_mode = train_mode
        self.frozen_parts = apply_mode(self, train_mode)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        return self.project(self.features(images))

    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch ..."]:
        """What the encoder says, before the head: constant while the encoder is frozen."""
        encode: Any = self.encoder
        if getattr(self.head, "takes_tokens", False):
            encode = encode.forward_tokens
        if self.frozen_parts:
            images = images.detach()  # what is frozen makes no graph, even if its input asks
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
        keep_frozen(self)
        return self


class CLIPTextEncoder(nn.Module):
    """The text tower: token ids to unit vectors.

    Args:
        encoder: `Int[B, L]` ids and mask -> `Float[B, out_dim]`.
        head: `Float[B, out_dim]` -> `Float[B, D]`.
        train_mode: `full`, `head` (the encoder is frozen), `frozen` (both are), `Last` (all of the
            encoder is but its last blocks) or `WithLoRA` (all of it is but the adapters put in).
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, train_mode: TrainMode = "full") -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.train_mode = train_mode
        self.frozen_parts = apply_mode(self, train_mode)

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
        keep_frozen(self)
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
        tower: CLIPImageEncoder = self.tower("image")
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
        tower: CLIPTextEncoder = self.tower("text")
        embeds: Tensor = tower(input_ids, attention_mask)
        return embeds

    def preprocess(self, picture: Picture) -> Float[Tensor, "3 height width"]:
        """A picture, or the path of one, as the image encoder wants it."""
        tensor: Tensor = self.tower("image").encoder.preprocess(open_picture(picture))
        return tensor

    def tokenize(self, texts: Sequence[str] | str) -> dict[str, Int[Tensor, "batch length"]]:
        """Texts to `input_ids` and `attention_mask`, cut to the encoder's context length."""
        texts = [texts] if isinstance(texts, str) else list(texts)
        tokens: dict[str, Tensor] = self.tower("text").encoder.tokenizer(texts)
        return tokens

    def embed_images(
        self, pictures: Sequence[Picture] | Picture, *, batch_size: int = 32
    ) -> Float[Tensor, "count dim"]:
        """Pictures, or their paths, to unit vectors: eval mode, no gradients, `float32` on the CPU."""
        if isinstance(pictures, (str, PathLike, Image.Image, Held)):
            pictures = [pictures]
        tower = self.tower("image")
        some = any_tensor(tower)
        with evaluating(tower), torch.no_grad():
            embeds = [
                self.encode_image(
                    torch.stack([self.preprocess(each) for each in batch]).to(
                        some.device, some.dtype
                    )
                )
                for batch in _batches(pictures, batch_size)
            ]
        return _joined(embeds, self.spec)

    def embed_texts(
        self, texts: Sequence[str] | str, *, batch_size: int = 256
    ) -> Float[Tensor, "count dim"]:
        """Texts to unit vectors: eval mode, no gradients, `float32` on the CPU."""
        tower = self.tower("text")
        device = any_tensor(tower).device
        with evaluating(tower), torch.no_grad():
            embeds = [
                self.encode_text(
                    **{key: ids.to(device) for key, ids in self.tokenize(batch).items()}
                )
                for batch in _batches([texts] if isinstance(texts, str) else texts, batch_size)
            ]
        return _joined(embeds, self.spec)

    def tower(self, side: str) -> Any:
        """The tower of a side, `image` or `text`.

        Raises:
            TowerError: the model was built without it.
        """
        tower = getattr(self, f"{side}_encoder")
        if tower is None:
            raise TowerError(
                f"this model was built without its {side} tower; build it with towers that "
                f"include {side!r}, or use the {'text' if side == 'image' else 'image'} side only"
            )
        return tower

    def get_trainable_parameters(self) -> list[nn.Parameter]:
        """The parameters that an optimizer should update: no frozen one is among them."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def parameter_groups(
        self,
        learning_rate: float,
        weight_decay: float,
        *,
        backbone_scale: float = 1.0,
        layer_decay: float | None = None,
        loss_learning_rate: float | None = None,
    ) -> list[dict[str, Any]]:
        """What trains, the loss included, as the groups that a torch optimizer takes.

        Each parameter is in one group, and no frozen one in any. Matrices decay; biases, norms, class
        tokens and the temperature do not. A group has a `name`, such as `image.head.no_decay`.

        Args:
            backbone_scale: factor on the learning rate of the encoders.
            layer_decay: factor on that for each block from an encoder's output to its input, as timm
                has it: of n blocks, the last has none, the first n - 1 of it, and the stem n.
            loss_learning_rate: of the loss, if not `learning_rate` too.

        Raises:
            SpecError: a factor is out of range.
        """
        return parameter_groups(
            self,
            learning_rate,
            weight_decay,
            backbone_scale=backbone_scale,
            layer_decay=layer_decay,
            loss_learning_rate=loss_learning_rate,
        )

    def merge_lora(self) -> None:
        """Fold the adapters into the encoders: embeddings as before, and no cost of adapters.

        The encoders are plain again, and frozen; heads train on. Saved, they are stored whole. An
        optimizer that has the adapters' parameters is of no use afterwards.

        Raises:
            SpecError: no tower has adapters.
        """
        towers = {"image": self.image_encoder, "text": self.text_encoder}
        adapted = [
            side
            for side in towers
            if isinstance(getattr(towers[side], "train_mode", None), WithLoRA)
        ]
        if not adapted:
            raise SpecError("no tower of this model has adapters: none has the train mode lora")
        for side in adapted:
            merge_adapters(towers[side])
        if self.spec is not None:
            merged = {
                side: getattr(self.spec, side).model_copy(update={"train": "head"})
                for side in adapted
            }
            self.spec = self.spec.model_copy(update=merged)

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

    def _apply(self: "CLIP", fn: Any, recurse: bool = True) -> "CLIP":
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.loss is not None:
            self.loss._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


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


def _batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    if size < 1:
        raise DataError(f"batch_size is 1 or more, not {size}")
    return (items[start : start + size] for start in range(0, len(items), size))


def _joined(embeds: list[Tensor], spec: ModelSpec | None) -> Tensor:
    if not embeds:
        return torch.zeros(0, spec.embedding_dim if spec else 0)
    return torch.cat(embeds).float().cpu()
