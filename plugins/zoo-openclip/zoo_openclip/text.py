"""open_clip's text towers: its own transformers, causal or not, and those of transformers."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from open_clip.transformer import text_global_pool
from torch import Tensor, nn

from zoo.errors import DataError
from zoo.weights.record import recorded_if_usable
from zoo.weights.source import WeightsSource, check_tag
from zoo_openclip.configs import activation, config_of, tags_of
from zoo_openclip.tokenizer import OpenCLIPTokenizer
from zoo_openclip.towers import build_tower, pretrained_tower

__all__ = ["OpenCLIPTextEncoder", "create", "examples", "weights_tags"]


class OpenCLIPTextEncoder(nn.Module):
    """A text tower, whose padding does no harm.

    open_clip's towers see ids only. Ids where the mask is 0 become padding before the tower sees
    them; a tower that was trained on texts of full length gets them at full length.

    Attributes:
        out_dim: number of features.
        context_length: longest text in tokens, special tokens included.
        tokenizer: texts to ids and mask.
        weights_source: where the weights came from, or None for random ones.
        resolved_args: arguments that the weights decided, which a saved spec must keep.
    """

    def __init__(
        self,
        tower: nn.Module,
        out_dim: int,
        tokenizer: OpenCLIPTokenizer,
        weights_source: WeightsSource | None,
        resolved_args: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.tower = tower
        self.out_dim = out_dim
        self.tokenizer = tokenizer
        self.context_length = tokenizer.context_length
        self.weights_source = weights_source
        self.resolved_args = resolved_args or {}

    def forward(
        self, input_ids: Int[Tensor, "batch length"], attention_mask: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch out_dim"]:
        missing = self.context_length - input_ids.shape[1]
        if missing < 0:
            raise DataError(
                f"the text encoder reads {self.context_length} tokens, not {input_ids.shape[1]}"
            )
        pad = self.tokenizer.pad_id
        ids = torch.where(attention_mask.bool(), input_ids, pad)
        if self.tokenizer.reads == "to the end token":
            return _causal(self.tower, ids)
        if self.tokenizer.reads == "padding too":
            ids = F.pad(ids, (0, missing), value=pad)
        features: Tensor = self.tower(ids)
        return features

    def save_files(self, folder: Path) -> None:
        """Write the tokenizer, where open_clip does not bring it along."""
        self.tokenizer.write(folder)


@recorded_if_usable()
def create(
    config: str,
    *,
    weights: str | None = "default",
    quick_gelu: bool | None = None,
    saved_files: Path | None = None,
) -> OpenCLIPTextEncoder:
    """The text tower of any config of `open_clip.list_models()`, projection and tokenizer included.

    Args:
        weights: a pretrained tag of the config (open_clip has no default), or None for random ones.
        quick_gelu: the activation, for random weights; a tag's weights have their own.
        saved_files: the tokenizer of a saved model.

    Raises:
        UnknownNameError: open_clip has no such config, or it no such tag.
        ArgumentError: the weights were trained with the other activation.
        WeightsError: the weights are neither cached nor to be had, damaged, or do not fit.

    Source: Cherti et al. 2022, arXiv 2212.07143; Ilharco et al., doi 10.5281/zenodo.5143773.
    """
    check_tag(weights, tags_of(config), f"open_clip's {config}")
    quick = activation(config, weights, quick_gelu)
    if weights is None:
        tower, source = build_tower(config, "text", quick), None
    else:
        tower, source = pretrained_tower(config, weights, "text", quick)
    settings = config_of(config)
    tokenizer = OpenCLIPTokenizer(config, settings["text_cfg"], tower, saved_files)
    width = int(settings["embed_dim"])
    return OpenCLIPTextEncoder(tower, width, tokenizer, source, {"quick_gelu": quick})


def weights_tags(config: str) -> list[str]:
    """The pretrained tags of a config.

    Raises:
        UnknownNameError: open_clip has no such config.
    """
    return tags_of(config)


def examples() -> list[str]:
    """Small configs whose tokenizer needs no network: with QuickGELU, and one that sees padding."""
    return [f"openclip/{name}" for name in ("RN50-quickgelu", "MobileCLIP-S1")]


def _causal(tower: Any, ids: Int[Tensor, "batch length"]) -> Float[Tensor, "batch out_dim"]:
    """`TextTransformer.forward` at the length of the ids: it would want them at full length."""
    length = ids.shape[1]
    hidden = tower.token_embedding(ids) + tower.positional_embedding[:length]
    hidden = tower.transformer(hidden, attn_mask=tower.attn_mask[:length, :length])
    pooled: Tensor = text_global_pool(tower.ln_final(hidden), ids, tower.pool_type, tower.eos_id)
    if isinstance(tower.text_projection, nn.Linear):
        projected: Tensor = tower.text_projection(pooled)
        return projected
    return pooled if tower.text_projection is None else pooled @ tower.text_projection
