"""A zoo model in clip-benchmark: as its functions take it, or by its command.

`python -m zoo.evaluation.clip_benchmark eval --model_type zoo --model FOLDER_OR_NAME …` is the
command `clip_benchmark` that knows zoo's models too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.clip import CLIP
from zoo.errors import MissingExtraError
from zoo.evaluation.models import open_model

__all__ = ["ForClipBenchmark", "for_clip_benchmark", "main"]

Tokenizer = Callable[[Sequence[str]], Int[Tensor, "batch 2 length"]]


class ForClipBenchmark(nn.Module):
    """A CLIP whose texts are one tensor: token ids, and below them their mask. In eval mode."""

    def __init__(self, clip: CLIP) -> None:
        super().__init__()
        self.clip = clip
        self.eval()

    def encode_image(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch dim"]:
        return self.clip.encode_image(images)

    def encode_text(self, tokens: Int[Tensor, "batch 2 length"]) -> Float[Tensor, "batch dim"]:
        return self.clip.encode_text(tokens[:, 0], tokens[:, 1])


def for_clip_benchmark(
    model: CLIP,
) -> tuple[ForClipBenchmark, Callable[..., Tensor], Tokenizer]:
    """The model, the transform of a picture and the tokenizer, as clip-benchmark's loaders give.

    Embeddings are those of `model.embed_images` and `model.embed_texts`. The model is in eval mode
    afterwards.
    """

    def tokenizer(texts: Sequence[str]) -> Tensor:
        tokens = model.tokenize(texts)
        return torch.stack([tokens["input_ids"], tokens["attention_mask"]], 1)

    return ForClipBenchmark(model), model.preprocess, tokenizer


def main() -> None:
    """Run clip-benchmark's command with one more `--model_type`, `zoo`.

    Raises:
        MissingExtraError: clip-benchmark is not installed.
    """
    try:
        from clip_benchmark import cli, models
    except ImportError as missing:
        raise MissingExtraError(
            "this is clip-benchmark's command: pip install clip-benchmark"
        ) from missing
    models.TYPE2FUNC["zoo"] = _load
    models.MODEL_TYPES.append("zoo")
    cli.main()


def _load(
    model_name: str, pretrained: str, cache_dir: str | None, device: str | torch.device = "cpu"
) -> tuple[Any, ...]:
    return for_clip_benchmark(open_model(model_name, device=device))


if __name__ == "__main__":
    main()
