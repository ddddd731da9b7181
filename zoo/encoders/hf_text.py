"""Text encoders from HuggingFace: any repository or folder, with pooling chosen right."""

from functools import partial
from pathlib import Path
from typing import Any, get_args

from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.arguments import PositiveInt
from zoo.encoders.hf_backbone import DUAL, context_limit, read_backbone, read_config
from zoo.encoders.pooling import Pooling, default_pooling, pool
from zoo.encoders.tokenizer import HFTokenizer
from zoo.errors import ArgumentError
from zoo.weights.address import address_of, fetched
from zoo.weights.hub import hub_files
from zoo.weights.record import recorded_if_usable
from zoo.weights.source import WeightsSource, origin_of

__all__ = ["HFTextEncoder", "create", "examples", "takes_addresses"]

takes_addresses = True

_OWN_POOLING = {
    "CLIPTextModelWithProjection": "projection_dim",
    "SiglipTextModel": "projection_size",
    "Siglip2TextModel": "projection_size",
}
"""Text halves of dual encoders, which pool by themselves, and where their config has the width."""


class HFTextEncoder(nn.Module):
    """A transformer over tokens, and one vector per text.

    Attributes:
        out_dim: number of features.
        context_length: longest text in tokens, special tokens included.
        tokenizer: texts to ids and mask.
        weights_source: where the weights came from, or None for random ones.
        resolved_args: arguments that the weights decided, which a saved spec must keep.
    """

    def __init__(
        self,
        backbone: nn.Module,
        pooling: Pooling | None,
        tokenizer: HFTokenizer,
        weights_source: WeightsSource | None,
        resolved_args: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling
        config: Any = backbone.config
        own = _OWN_POOLING.get(type(backbone).__name__) if pooling is None else None
        self.out_dim = int(getattr(config, own or "hidden_size"))
        self.eos_token_id = (
            _first(getattr(config, "eos_token_id", None)) if pooling == "eos" else None
        )
        self.tokenizer = tokenizer
        self.context_length = tokenizer.context_length
        self.weights_source = weights_source
        self.resolved_args = resolved_args or {}

    def forward(
        self, input_ids: Int[Tensor, "batch length"], attention_mask: Int[Tensor, "batch length"]
    ) -> Float[Tensor, "batch out_dim"]:
        out = self.backbone(input_ids=input_ids, attention_mask=attention_mask)
        if self.pooling is None:  # a dual encoder's own pooling and projection
            embeds: Tensor = out.text_embeds if "text_embeds" in out else out.pooler_output
            return embeds
        return pool(
            out.last_hidden_state, input_ids, attention_mask, self.pooling, self.eos_token_id
        )

    def save_files(self, folder: Path) -> None:
        """Write config and tokenizer, from which the factory makes the encoder again."""
        self.tokenizer.write(folder)


@recorded_if_usable()
def create(
    repository: str,
    *,
    weights: str | None = "default",
    revision: str | None = None,
    pooling: Pooling | None = None,
    context_length: PositiveInt | None = None,
    saved_files: Path | None = None,
) -> HFTextEncoder:
    """Any text encoder that transformers builds, from a hub repository or a local folder.

    Args:
        weights: `default` (the repository's), the address of a state dict of the same architecture,
            or None for random ones.
        revision: commit, branch or tag of the repository; a folder has none.
        pooling: `mean` over tokens, `cls` (the first), `last`, or `eos`. When not given, the
            repository's own: CLIP and SigLIP pool themselves, sentence-transformers folders say
            which, causal models take the last token, others the mean.
        context_length: longest text in tokens; the model's own when not given.
        saved_files: config and tokenizer of a saved model.

    Raises:
        ArgumentError: the pooling or context length does not fit the model, or a folder is given a
            revision.
        WeightsError: a file is missing or damaged, or weights do not fit.
    """
    address = address_of(weights)
    if weights not in (None, "default") and address is None:
        raise ArgumentError(
            f"the text encoder 'hf/{repository}' has the weights 'default' or none, not {weights!r}; "
            "choose another commit or branch with the argument revision"
        )
    saved = None if saved_files is None else hub_files(str(saved_files), weights=False)
    if saved is not None and weights != "default":
        files = saved
    else:
        files = hub_files(
            repository, revision, weights=weights == "default", tokenizer=saved is None
        )
    small = saved or files
    config = read_config(small)
    source = None
    if address is not None:
        path, source = fetched(address)
        backbone = read_backbone(config, path, mapped=address.kind != "file")
    else:
        backbone = read_backbone(config, files if weights is not None else None)
    own: Any = backbone.config
    pools = type(backbone).__name__ in _OWN_POOLING or config.model_type == DUAL
    if pooling is None and not pools:
        pooling = default_pooling(small, own.model_type)
    limit = context_limit(small, backbone)
    if context_length is not None and not 0 < context_length <= limit:
        raise ArgumentError(
            f"the text encoder 'hf/{repository}' reads 1 to {limit} tokens, not {context_length}"
        )
    if weights == "default" and files.weights is not None:
        source = WeightsSource(
            "default", origin_of(files), files.weights, files.revision, files.sha256
        )
    tokenizer = HFTokenizer(
        partial(getattr, files, "folder") if saved_files is None else partial(Path, saved_files),
        context_length or limit,
        fixed_length=type(backbone).__name__.startswith("Siglip"),
        vocabulary=getattr(own, "vocab_size", None),
    )
    if saved_files is not None:
        tokenizer.keep()
    if pooling == "eos":
        _check_ends(tokenizer, _first(getattr(own, "eos_token_id", None)), repository)
    decided: dict[str, Any] = {"revision": files.revision} if files.revision else {}
    if files.revision is None and pooling is not None:  # a folder may say something else tomorrow
        decided["pooling"] = pooling
    return HFTextEncoder(backbone, pooling, tokenizer, source, decided)


def examples() -> list[str]:
    """A small encoder that many use, for the kit."""
    return ["hf/sentence-transformers/all-MiniLM-L6-v2"]


def _check_ends(tokenizer: HFTokenizer, end: int | None, repository: str) -> None:
    """Refuse a tokenizer that ends no text, as GPT-2's, or marks both its ends alike, as OPT's."""
    fault = "has no end token in its config"
    if end is not None:
        tokens = tokenizer(["a", "a " * tokenizer.context_length])  # one of them is cut
        rows = zip(tokens["input_ids"], tokens["attention_mask"], strict=True)
        texts = [ids[mask.bool()].tolist() for ids, mask in rows]
        if all(end in text and text[0] != end for text in texts):
            return
        fault = f"has a tokenizer that does not end texts with the end token of its config ({end})"
    raise ArgumentError(
        f"the text encoder 'hf/{repository}' {fault}, so pooling 'eos' cannot work; choose "
        f"{', '.join(each for each in get_args(Pooling) if each != 'eos')}"
    )


def _first(token: int | list[int] | None) -> int | None:
    return token[0] if isinstance(token, list) else token
