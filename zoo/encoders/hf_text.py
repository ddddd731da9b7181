"""Text encoders from HuggingFace: any repository or folder, with pooling chosen right."""

import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import MODEL_MAPPING, AutoConfig, AutoModel, PretrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)
from transformers.utils import logging

from zoo.arguments import PositiveInt
from zoo.encoders.tokenizer import HFTokenizer
from zoo.errors import ArgumentError, WeightsError
from zoo.weights.hub import HubFiles, hub_files
from zoo.weights.source import WeightsSource

__all__ = ["HFTextEncoder", "Pooling", "create", "pool"]

Pooling = Literal["mean", "cls", "last", "eos"]

_OWN_POOLING = {
    "CLIPTextModelWithProjection": "projection_dim",
    "SiglipTextModel": "projection_size",
    "Siglip2TextModel": "projection_size",
}
"""Text halves of dual encoders, which pool by themselves, and where their config has the width."""

_UNBOUNDED = 100_000
"""Tokenizers without a limit of their own report a number far above this."""


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
        width = _OWN_POOLING[type(backbone).__name__] if pooling is None else "hidden_size"
        self.out_dim = int(getattr(config, width))
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


def create(
    repository: str,
    *,
    weights: str | None = "default",
    revision: str | None = None,
    pooling: Pooling | None = None,
    context_length: PositiveInt | None = None,
) -> HFTextEncoder:
    """Any text encoder that transformers builds, from a hub repository or a local folder.

    Args:
        weights: `default` (the repository's), or None for random ones.
        revision: commit, branch or tag of the repository.
        pooling: `mean` over tokens, `cls` (the first), `last`, or `eos`. When not given, the
            repository's own: CLIP and SigLIP pool themselves, sentence-transformers folders say
            which, causal models take the last token, others the mean.
        context_length: longest text in tokens; the model's own when not given.

    Raises:
        ArgumentError: the pooling or context length does not fit the model.
        WeightsError: a file is missing or damaged, or weights do not fit.
    """
    if weights not in (None, "default"):
        raise ArgumentError(
            f"the text encoder 'hf/{repository}' has the weights 'default' or none, not {weights!r}; "
            "choose another commit or branch with the argument revision"
        )
    files = hub_files(repository, revision, weights=weights is not None)
    config = _config(files)
    backbone = _backbone(config, files if weights is not None else None)
    own: Any = backbone.config
    if pooling is None and type(backbone).__name__ not in _OWN_POOLING:
        pooling = _default_pooling(files, own)
    if pooling == "eos" and _first(getattr(own, "eos_token_id", None)) is None:
        raise ArgumentError(
            f"the text encoder 'hf/{repository}' has no end token in its config, so pooling 'eos' "
            f"cannot work; choose {', '.join(each for each in get_args(Pooling) if each != 'eos')}"
        )
    limit = _context_limit(files, backbone)
    if context_length is not None and not 0 < context_length <= limit:
        raise ArgumentError(
            f"the text encoder 'hf/{repository}' reads 1 to {limit} tokens, not {context_length}"
        )
    source = None
    if weights is not None and files.weights is not None:
        source = WeightsSource("default", repository, files.weights, files.revision, files.sha256)
    tokenizer = HFTokenizer(
        lambda: files.folder,
        context_length or limit,
        fixed_length=type(backbone).__name__.startswith("Siglip"),
    )
    decided = {"revision": files.revision} if files.revision else {}
    return HFTextEncoder(backbone, pooling, tokenizer, source, decided)


def pool(
    states: Float[Tensor, "batch length width"],
    input_ids: Int[Tensor, "batch length"],
    attention_mask: Int[Tensor, "batch length"],
    pooling: Pooling,
    eos_token_id: int | None = None,
) -> Float[Tensor, "batch width"]:
    """One vector per text, wherever its padding is.

    Args:
        pooling: `mean` over the tokens that are not padding; `cls`, the first of them; `last`, the
            last of them; `eos`, the first end token.
    """
    if pooling == "mean":
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        return (states * mask).sum(1) / mask.sum(1).clamp(min=1)
    if pooling == "eos":
        position = ((input_ids == eos_token_id) & (attention_mask > 0)).int().argmax(1)
    elif pooling == "cls":
        position = attention_mask.int().argmax(1)
    else:
        steps = torch.arange(attention_mask.shape[1], device=states.device)
        position = (attention_mask * steps).argmax(1)
    return states[torch.arange(len(states), device=states.device), position]


_UNREADABLE = (
    OSError,
    RuntimeError,
    ValueError,
    KeyError,
    EOFError,
    pickle.UnpicklingError,
    SafetensorError,
)


def _config(files: HubFiles) -> PretrainedConfig:
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(files.folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{files.file('config.json')}: not a model that transformers knows: {error}"
        ) from error
    return config


def _backbone(config: PretrainedConfig, files: HubFiles | None) -> nn.Module:
    """The text half of the model, with its weights, or random when `files` is None."""
    import transformers

    family = config.model_type.removesuffix("_text_model")
    name = {
        "clip": "CLIPTextModelWithProjection",
        "siglip": "SiglipTextModel",
        "siglip2": "Siglip2TextModel",
        "t5": "T5EncoderModel",
        "mt5": "MT5EncoderModel",
        "umt5": "UMT5EncoderModel",
    }.get(family)
    model_class: Any = getattr(transformers, name) if name else AutoModel
    if hasattr(config, "text_config") and name is not None:
        config = config.text_config
    options = {}
    if name is None:
        model_class = MODEL_MAPPING.get(type(config), AutoModel)
        # A pooler that nothing reads would be random weights in most checkpoints.
        if "add_pooling_layer" in signature(model_class.__init__).parameters:
            options["add_pooling_layer"] = False
    if files is None:
        built: nn.Module = model_class(config, **options)
        return built.float()
    if files.weights is not None and files.weights.endswith((".bin", ".bin.index.json")):
        options["use_safetensors"] = False
    try:
        with _quiet():
            model, report = model_class.from_pretrained(
                files.folder,
                config=config,
                dtype=torch.float32,
                output_loading_info=True,
                trust_remote_code=False,
                weights_only=True,
                **options,
            )
    except _UNREADABLE as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(
            f"{files.file(files.weights or '')}: cannot be loaded: {first}"
        ) from error
    faults = [*report["missing_keys"], *(each[0] for each in report["mismatched_keys"])]
    if faults:
        raise WeightsError(
            f"{files.file(files.weights or '')}: the weights do not fit the model: "
            f"{len(faults)} tensors are missing or of another shape, such as {sorted(faults)[0]}"
        )
    loaded: nn.Module = model.eval()
    return loaded


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar, and no report of unused tensors: what matters in it is an error here."""
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _default_pooling(files: HubFiles, config: PretrainedConfig) -> Pooling:
    try:
        said = files.optional("1_Pooling/config.json")
    except WeightsError as error:
        raise WeightsError(f"{error}. Say how it pools with the argument pooling") from error
    if said is not None:
        modes = _json(said)
        known: dict[str, Pooling] = {
            "pooling_mode_mean_tokens": "mean",
            "pooling_mode_cls_token": "cls",
            "pooling_mode_lasttoken": "last",
        }
        chosen = [pooling for key, pooling in known.items() if modes.get(key)]
        if len(chosen) != 1:
            raise ArgumentError(
                f"{said}: pools in a way that zoo has no name for; choose the argument pooling"
            )
        return chosen[0]
    kind = config.model_type  # BERT and its kin have a causal class beside the masked one
    causal = (
        kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    )
    return "last" if causal else "mean"


def _context_limit(files: HubFiles, backbone: nn.Module) -> int:
    """The model's positions, or what a sentence-transformers folder was trained to."""
    limit = getattr(backbone.config, "max_position_embeddings", None) or 512
    for name, module in backbone.named_modules():
        # RoBERTa and its kin start to count positions after the padding's.
        if (
            name.endswith("position_embeddings")
            and getattr(module, "padding_idx", None) is not None
        ):
            limit -= module.padding_idx + 1
    for name, key in (
        ("sentence_bert_config.json", "max_seq_length"),
        ("tokenizer_config.json", "model_max_length"),
    ):
        path = files.file(name)
        if path.is_file():
            said = _json(path).get(key)
            if isinstance(said, int) and 0 < said < _UNBOUNDED:
                limit = min(limit, said)
    return int(limit)


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise WeightsError(f"{path}: holds no table")
    return data


def _first(token: int | list[int] | None) -> int | None:
    return token[0] if isinstance(token, list) else token
