"""A HuggingFace model, or half of one, from files that are already here."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import MODEL_MAPPING, AutoConfig, AutoModel, PretrainedConfig
from transformers.utils import logging

from zoo.errors import WeightsError
from zoo.weights.bounds import bounded, sizes_of
from zoo.weights.claims import check_archive, check_numbers, reason_of
from zoo.weights.hub import HubFiles, read_json, weight_files
from zoo.weights.read import read_tensors
from zoo.weights.record import is_recorded

__all__ = ["DUAL", "context_limit", "from_files", "read_backbone", "read_config"]

DUAL = "vision-text-dual-encoder"
"""The model type of two encoders of any kind with a linear map over the pooled output of each."""

_IMPLEMENTATIONS = (None, "eager", "sdpa")
_QUANTISERS = ("quantization_config", "compression_config")
_UNREAD = ("position_ids", "token_type_ids", "inv_freq", "masked_bias", "num_batches_tracked")
"""What old checkpoints hold inside a model's parts, and transformers computes."""
_UNBOUNDED = 100_000
"""Tokenizers without a limit of their own report a number far above this."""


def read_config(files: HubFiles) -> PretrainedConfig:
    """A model's config, of an architecture that transformers has and runs by itself.

    Raises:
        WeightsError: it is damaged, or asks for kernels or a quantiser from elsewhere.
    """
    _check_config(files.file("config.json"))
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(files.folder, trust_remote_code=False)
    except Exception as error:  # whatever a damaged or hostile config leads to
        raise WeightsError(
            f"{files.file('config.json')}: not a model that transformers knows: {error}"
        ) from error
    return config


def _check_config(path: Path) -> None:
    """Refuse what transformers would fetch, and run, because a config says so."""
    tables = [read_json(path)]
    while tables:
        table = tables.pop()
        for key, value in table.items():
            if key in _QUANTISERS and value is not None:
                raise WeightsError(
                    f"{path}: its {key} asks for another library's arithmetic; use the weights as "
                    "they were before they were quantised"
                )
            if key.endswith(("_implementation", "_implementation_internal")):
                for each in value.values() if isinstance(value, dict) else [value]:
                    if each not in _IMPLEMENTATIONS:
                        raise WeightsError(
                            f"{path}: its {key} is {each!r}, which transformers would fetch and run; "
                            "take it out of the config, or choose 'sdpa'"
                        )
            if isinstance(value, dict):
                tables.append(value)


def read_backbone(
    config: PretrainedConfig, files: HubFiles | Path | None, *, mapped: bool = True
) -> nn.Module:
    """The text half of the model, with the weights of `files`, or random when they are None.

    Args:
        mapped: leave a single file's tensors on disk until they are used.

    Raises:
        WeightsError: the weights are damaged, or not all of the model's.
    """
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
    if config.model_type == DUAL:
        own = config.text_config
        return from_files(MODEL_MAPPING[type(own)], own, files, mapped=mapped, part="text_model.")
    if hasattr(config, "text_config") and name is not None:
        config = config.text_config
    options: dict[str, Any] = {}
    if name is None:
        model_class = MODEL_MAPPING.get(type(config), AutoModel)
        # A pooler that nothing reads would be random weights in most checkpoints.
        if "add_pooling_layer" in signature(model_class.__init__).parameters:
            options["add_pooling_layer"] = False
    return from_files(model_class, config, files, mapped=mapped, **options)


def from_files(
    model_class: Any,
    config: PretrainedConfig,
    files: HubFiles | Path | None,
    *,
    mapped: bool = True,
    part: str = "",
    **options: Any,
) -> nn.Module:
    """A model of transformers with its weights, or random when `files` is None.

    Args:
        mapped: leave a single file's tensors on disk until they are used.
        part: what the names of its tensors begin with, where the file holds a larger model.

    Raises:
        WeightsError: the weights are damaged, or not all of the model's, or more than it has.
    """
    if files is None:
        built: nn.Module = model_class(config, **options)
        return built.float()
    if isinstance(files, Path):
        folder, file = None, files
        # A file of the user's own may be written anew while the model is in use.
        options["state_dict"] = _stripped(read_tensors(files, prefix=part, mapped=mapped), part)
    else:
        folder, file = files.folder, files.file(files.weights or "")
        _check_adapters(files.file("adapter_config.json"))
        if part:
            folder = None
            options["state_dict"] = {
                name: tensor
                for path in weight_files(files)
                for name, tensor in _stripped(read_tensors(path, prefix=part), part).items()
            }
        elif file.name.endswith((".bin", ".bin.index.json")):
            options["use_safetensors"] = False
            for path in folder.glob("pytorch_model*.bin"):
                if check_archive(path):  # then transformers maps it into memory too
                    read_tensors(path)
    paths = [files] if isinstance(files, Path) else weight_files(files)
    try:
        with _quiet(), bounded(sizes_of(paths)):
            model, report = model_class.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                output_loading_info=True,
                trust_remote_code=False,
                weights_only=True,
                **options,
            )
    except Exception as error:  # whatever damaged bytes lead the parsers to
        raise WeightsError(f"{file}: cannot be loaded: {reason_of(error)}") from error
    faults = [*report["missing_keys"], *(each[0] for each in report["mismatched_keys"])]
    if faults:
        raise WeightsError(
            f"{file}: the weights do not fit the model: "
            f"{len(faults)} tensors are missing or of another shape, such as {sorted(faults)[0]}"
        )
    surplus = _surplus(model, report["unexpected_keys"])
    if surplus:
        raise WeightsError(
            f"{file}: holds more than the model of its config.json: {len(surplus)} tensors of parts "
            f"that the model has, such as {surplus[0]}; see how many layers the config says"
        )
    if not all(map(is_recorded, paths)):  # else they were looked at then, and stay on disk
        check_numbers(model, model.state_dict(), str(file))
    loaded: nn.Module = model.eval()
    return loaded


def _stripped(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def _surplus(model: Any, unexpected: Iterable[str]) -> list[str]:
    """Tensors of a part that the model has: layers more than its config says, as a rule.

    Whole parts that it does not have are heads, poolers and the other half of a dual encoder.
    """
    parts = {name for name, _ in model.named_children()}
    names = {name: name.removeprefix(f"{model.base_model_prefix}.") for name in unexpected}
    return sorted(
        name
        for name, own in names.items()
        if not parts.isdisjoint((name.partition(".")[0], own.partition(".")[0]))
        and name.rpartition(".")[2] not in _UNREAD
    )


def _check_adapters(path: Path) -> None:
    if path.is_file():  # transformers would put them in where peft is installed, and only there
        raise WeightsError(
            f"{path}: the weights come with adapters that are not merged; merge them with peft's "
            "merge_and_unload, save that, and use the result; or take the file away to do without them"
        )


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


def context_limit(files: HubFiles, backbone: nn.Module) -> int:
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
            said = read_json(path).get(key)
            if isinstance(said, int) and 0 < said < _UNBOUNDED:
                limit = min(limit, said)
    return int(limit)
