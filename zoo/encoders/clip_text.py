"""The reference text encoder: the text half of OpenAI's CLIP ViT-B/32."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from zoo.encoders import hf_text
from zoo.encoders.hf_text import HFTextEncoder
from zoo.encoders.tokenizer import HFTokenizer
from zoo.weights.hub import hub_files
from zoo.weights.source import check_tag, is_address

__all__ = ["REPOSITORY", "REVISION", "create", "takes_addresses", "weights_tags"]

takes_addresses = True

REPOSITORY = "openai/clip-vit-base-patch32"
REVISION = "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268"

_CONFIG: dict[str, Any] = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "projection_dim": 512,
    "hidden_act": "quick_gelu",
    # As published in 2021. With the end token given as 2, pooling takes the largest id, which
    # is the true end token, 49407.
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
}


def create(*, weights: str | None = "openai", saved_files: Path | None = None) -> HFTextEncoder:
    """CLIP ViT-B/32's text transformer and projection: 63,428,096 parameters, 512 features.

    Args:
        weights: `openai`, the address of a CLIP's or its text half's state dict, or None for
            random ones (which needs no file at all).
        saved_files: config and tokenizer of a saved model.

    Raises:
        WeightsError: the weights are neither cached nor to be had, or damaged.

    Source: Radford et al. 2021, arXiv 2103.00020.
    """
    if weights is not None and is_address(weights):
        encoder = hf_text.create(
            REPOSITORY, revision=REVISION, weights=weights, saved_files=saved_files
        )
        encoder.resolved_args = {}
        return encoder
    if weights is not None:
        check_tag(weights, weights_tags(), "the text encoder 'clip-vit-b32'")
        encoder = hf_text.create(REPOSITORY, revision=REVISION, saved_files=saved_files)
        encoder.resolved_args = {}
        if encoder.weights_source is not None:
            encoder.weights_source = replace(encoder.weights_source, tag=weights)
        return encoder
    backbone = CLIPTextModelWithProjection(CLIPTextConfig(**_CONFIG))
    tokenizer = HFTokenizer(
        _tokenizer_folder if saved_files is None else partial(Path, saved_files),
        _CONFIG["max_position_embeddings"],
    )
    if saved_files is not None:
        tokenizer.keep()
    return HFTextEncoder(backbone, None, tokenizer, None)


def _tokenizer_folder() -> Path:
    return hub_files(REPOSITORY, REVISION, weights=False).folder


def weights_tags() -> list[str]:
    """The tags that its weights can be asked for by."""
    return ["openai"]
