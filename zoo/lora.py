"""LoRA adapters in an encoder, through peft: put in, told apart from the base, folded in."""

import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import MissingExtraError, PluginError, SpecError, suggestion
from zoo.spec import LoRA

__all__ = ["Adapters", "Base", "adapter_dropouts", "add_adapters", "fold_in", "import_peft"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def import_peft() -> Any:
    """The package.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import peft
    except ImportError as missing:
        raise MissingExtraError("LoRA needs peft: pip install 'clip-zoo[lora]'") from missing
    return peft


def add_adapters(encoder: nn.Module, settings: LoRA, inputs: tuple[Tensor, ...]) -> None:
    """Put an adapter on every targeted layer, in place. It changes no output before it is trained.

    Without targets, these are the linear layers, or, in a network that has none, the plain
    convolutions (not grouped, not dilated). Only layers that the encoder calls count: the weights of
    others are read past their `forward`, as by attention that computes its projections itself, and
    an adapter would do nothing.

    Args:
        inputs: of the encoder, to see which layers it calls.

    Raises:
        SpecError: there is no layer to adapt, or none that a target names.
        MissingExtraError: peft is not installed.

    Source: Hu et al. 2021, arXiv 2106.09685.
    """
    peft = import_peft()
    layers = _layers_called(encoder, inputs)
    chosen = _targeted(layers, settings) if settings.targets else _default(layers)
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="|".join(map(re.escape, chosen)),
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "fan_in_fan_out")  # peft sets it right for GPT-2's layers
        peft.inject_adapter_in_model(config, encoder)


def adapter_dropouts(encoder: nn.Module) -> Iterator[nn.Module]:
    """What of the adapters differs between training and evaluation."""
    for name, module in encoder.named_modules():
        if name.endswith(".lora_dropout"):
            yield module


def fold_in(encoder: nn.Module) -> None:
    """Add every adapter to the weights it adapts, and take it out, in place."""
    import_peft()
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(encoder.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent, _, attribute = name.rpartition(".")
            setattr(encoder.get_submodule(parent), attribute, module.get_base_layer())


class _Share:
    """Some of an encoder's tensors, under names of their own, to be saved and loaded apart."""

    def __init__(self, encoder: nn.Module) -> None:
        self.encoder = encoder

    def named(self, name: str) -> str | None:
        """What a tensor of the encoder's is called here; None for those of others."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Tensor]:
        tensors = self.encoder.state_dict()
        return {mine: tensors[name] for name in tensors if (mine := self.named(name)) is not None}

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        for name, parameter in self.encoder.named_parameters():
            if (mine := self.named(name)) is not None:
                yield mine, parameter

    def load_state_dict(self, tensors: Mapping[str, Tensor], **options: Any) -> None:
        theirs = {self.named(name): name for name in self.encoder.state_dict()}
        renamed = {theirs[mine]: tensor for mine, tensor in tensors.items()}
        self.encoder.load_state_dict(renamed, strict=False, **options)


class Base(_Share):
    """The encoder without its adapters, its tensors named as if there were none."""

    def named(self, name: str) -> str | None:
        return None if _is_adapters(name) else name.replace(".base_layer.", ".")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.encoder, name)


class Adapters(_Share):
    """The adapters of an encoder."""

    def named(self, name: str) -> str | None:
        return name.replace(".default.", ".") if _is_adapters(name) else None


def _is_adapters(name: str) -> bool:
    return ".lora_A." in name or ".lora_B." in name


def _layers_called(encoder: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, nn.Module]:
    """The layers an adapter can go on: linear ones and convolutions, whose `forward` is called."""
    called: set[nn.Module] = set()
    hooks = [
        module.register_forward_hook(lambda module, *_: called.add(module))
        for module in encoder.modules()
        if _can_adapt(module)
    ]
    modes = {module: module.training for module in encoder.modules()}
    try:
        with torch.no_grad():
            encoder.eval()(*inputs)
    except (RuntimeError, NotImplementedError) as error:
        raise PluginError(
            f"{type(encoder).__name__} fails on an input of its own kind: {error}"
        ) from error
    finally:
        for module, mode in modes.items():
            module.training = mode
        for hook in hooks:
            hook.remove()
    return {name: module for name, module in encoder.named_modules() if module in called}


def _can_adapt(module: nn.Module) -> bool:
    """Whether peft adapts it rightly and can fold the adapter in.

    Subclasses compute with other weights than they hold, or pad by themselves. To the convolution
    inside an adapter, peft passes neither dilation nor padding mode.
    """
    if isinstance(module, _CONVOLUTIONS):
        plain = module.groups == 1 and max(module.dilation) == 1 and module.padding_mode == "zeros"
        return type(module) in _CONVOLUTIONS and plain
    return _is_linear(module)


def _is_linear(module: nn.Module) -> bool:
    return type(module) is nn.Linear or type(module).__name__ == "Conv1D"  # transformers', of GPT-2


def _default(layers: Mapping[str, nn.Module]) -> list[str]:
    chosen = [name for name in layers if _is_linear(layers[name])] or list(layers)
    if not chosen:
        raise SpecError(
            "lora: this encoder has no layer for adapters: it calls no linear layer and no "
            "convolution"
        )
    return chosen


def _targeted(layers: Mapping[str, nn.Module], settings: LoRA) -> list[str]:
    """The layers that a target names by the end of their path."""
    chosen = []
    for target in settings.targets or ():
        found = [name for name in layers if f".{name}".endswith(f".{target}")]
        if not found:
            ends = sorted({name.rpartition(".")[2] for name in layers})
            raise SpecError(
                f"lora: no layer that this encoder calls is named {target!r}; adapters can go on "
                f"{', '.join(ends)}.{suggestion(target, [*layers, *ends])}"
            )
        chosen += found
    return sorted(set(chosen))
