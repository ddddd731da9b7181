"""An image tower cut where it begins to train, so that what stands still before is computed once.

With `{ last = n }` the first blocks of an encoder are frozen. Cut behind them, the tower is a frozen
encoder of maps, whose output the caches keep like any features, and a head of all that trains.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from zoo.clip import CLIP, CLIPImageEncoder, evaluating
from zoo.parameters import any_tensor
from zoo.recipe import Recipe

__all__ = ["cut"]


def cut(model: CLIP, recipe: Recipe) -> CLIP:
    """The same model, its parameters shared, with its image tower cut; itself where it cannot be.

    It can be if the first blocks of the image encoder are frozen, pictures are not augmented, encoders
    are not compiled, and what trains sees the picture only through the output of one frozen module.
    That is tried out: the two halves give to the bit what the whole does.
    """
    tower: Any = model.image_encoder
    if tower is None or tower.frozen_parts in ((), ("encoder",)):
        return model
    if recipe.augmentation.active or recipe.compile:
        return model
    if tower.frozen_parts == ("encoder", "head") or getattr(tower.head, "takes_tokens", False):
        return model
    frozen = [
        tower.get_submodule(name) for name in tower.frozen_parts if name.startswith("encoder.")
    ]
    inside = {id(each) for module in frozen for each in module.parameters()}
    if any(
        not each.requires_grad and id(each) not in inside for each in tower.encoder.parameters()
    ):
        return model  # such as positions, which are in no module of their own
    with evaluating(tower), torch.no_grad():
        example = torch.zeros(2, 3, *tower.encoder.preprocess.crop, device=any_tensor(tower).device)
        example[1] = torch.linspace(-1, 1, example[1].numel(), device=example.device).view_as(
            example[1]
        )
        last = _last_of(frozen, tower.encoder, example)
        if last is None:
            return model
        in_two = _Cut(tower, frozen, last)
        try:
            halves = in_two.project(in_two.features(example))
        except (
            Exception
        ):  # of many kinds: what trains asks for the picture itself, and is given none
            return model
        if not torch.equal(halves, tower(example)):
            return model
    in_two.train(tower.training)
    made = CLIP(
        in_two, model.text_encoder, loss=model.loss, spec=model.spec, provenance=model.provenance
    )
    return made.train(model.training)


class _Cut(CLIPImageEncoder):
    """An image tower of what stands still, and of all that trains as its head."""

    def __init__(self, tower: CLIPImageEncoder, frozen: list[nn.Module], last: nn.Module) -> None:
        super().__init__(_Before(tower.encoder, frozen, last), _After(tower, frozen, last), "head")
        self._whole = [tower]  # in a list, its modules are not this one's twice

    @property
    def whole(self) -> CLIPImageEncoder:
        """The tower that was cut, for what goes by its parts."""
        return self._whole[0]


class _Before(nn.Module):
    """An encoder up to the last module that is frozen."""

    def __init__(self, encoder: Any, frozen: list[nn.Module], last: nn.Module) -> None:
        super().__init__()
        self.frozen = nn.ModuleList(frozen)
        self.preprocess, self.out_dim = encoder.preprocess, encoder.out_dim
        self._encoder, self._last = [encoder], [last]

    def forward(self, images: Tensor) -> Tensor:
        def stop(module: nn.Module, args: Any, output: Tensor) -> None:
            raise _ReachedError(output)

        hook = self._last[0].register_forward_hook(stop)
        try:
            self._encoder[0](images)
        except _ReachedError as reached:
            return reached.maps
        finally:
            hook.remove()
        raise AssertionError("the last frozen module did not run")


class _After(nn.Module):
    """The rest of the encoder, and the head: the frozen modules let pass what they are given."""

    def __init__(self, tower: Any, frozen: list[nn.Module], last: nn.Module) -> None:
        super().__init__()
        self.trained = nn.ModuleList(
            module
            for module in tower.encoder.modules()
            if any(each.requires_grad for each in module.parameters(recurse=False))
        )
        self.head = tower.head
        self._encoder, self._frozen, self._last = [tower.encoder], frozen.copy(), [last]
        still = [module for each in frozen for module in each.modules()]
        self._modules_in_training = [
            module for module in tower.encoder.modules() if not _is_in(module, still)
        ]

    def train(self, mode: bool = True) -> _After:
        super().train(mode)
        for module in self._modules_in_training:  # those without weights, such as drop path
            module.training = mode
        return self

    def forward(self, maps: Tensor) -> Tensor:
        with _passing(self._frozen, self._last[0], maps):
            features = self._encoder[0](maps.new_zeros(len(maps), 3, 8, 8))
        embeds: Tensor = self.head(features)
        return embeds


class _ReachedError(Exception):
    def __init__(self, maps: Tensor) -> None:
        super().__init__()
        self.maps = maps


def _last_of(frozen: list[nn.Module], encoder: nn.Module, example: Tensor) -> nn.Module | None:
    """The frozen module that runs last, if each runs once and before all that trains."""
    order: list[nn.Module] = []
    trained = [
        module
        for module in encoder.modules()
        if any(each.requires_grad for each in module.parameters(recurse=False))
    ]
    hooks = [
        module.register_forward_hook(lambda module, args, output: order.append(module))
        for module in (*frozen, *trained)
    ]
    try:
        encoder(example)
    finally:
        for hook in hooks:
            hook.remove()
    first = [index for index, module in enumerate(order) if not _is_in(module, frozen)][:1]
    ran = order[: first[0]] if first else order
    if not ran or len(ran) != len({id(module) for module in ran}):
        return None
    return ran[-1] if not any(_is_in(module, frozen) for module in order[len(ran) :]) else None


@contextmanager
def _passing(frozen: list[nn.Module], last: nn.Module, maps: Tensor) -> Iterator[None]:
    """Inside, the frozen modules do nothing, and the last of them gives the maps."""
    try:
        for module in frozen:
            module.forward = lambda images, *args, **kwargs: images
        last.forward = lambda *args, **kwargs: maps
        yield
    finally:
        for module in frozen:
            module.__dict__.pop("forward", None)


def _is_in(module: nn.Module, modules: list[nn.Module]) -> bool:
    return any(module is each for each in modules)
