"""One model in several processes: replicated by DDP, or sharded by FSDP2."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from zoo.blocks import by_depth
from zoo.clip import CLIP
from zoo.errors import SpecError
from zoo.recipe import Recipe
from zoo.training.batch import Batch
from zoo.training.precision import choose
from zoo.training.towers import Side, Towers

__all__ = ["DDP", "FSDP", "SingleProcess", "parallelise"]


class SingleProcess:
    """One process: nothing to exchange. The others have the same methods.

    Attributes:
        model: whose parameters an optimizer takes; its loss is that of the model it was made of.
    """

    def __init__(self, model: CLIP, recipe: Recipe) -> None:
        self.model = model
        self.towers = Towers(model, choose(recipe.precision, next(model.parameters()).device))

    def embed(self, batch: Batch, *sides: Side) -> tuple[Tensor, ...]:
        """The embeddings of a batch that goes through in one part; its backward pass adds up the
        gradients of all processes."""
        found: tuple[Tensor, ...] = self.towers(batch, *sides)
        return found

    def embed_part(self, batch: Batch, *sides: Side) -> tuple[Tensor, ...]:
        """Those of one part among several; the gradients are added up by `reduce`."""
        return self.embed(batch, *sides)

    def reduce(self, *, parts: bool) -> None:
        """Means over processes of the gradients that are not means yet.

        Args:
            parts: whether the batch came in parts.
        """

    def clip(self, most: float) -> float:
        """Scale the gradients down to a norm, of all of them together, or to none by infinity; what it was
        before."""
        return nn.utils.clip_grad_norm_(self.parameters(), most).item()

    def parameters(self) -> list[nn.Parameter]:
        """What trains, the loss included."""
        return [*self.model.get_trainable_parameters(), *self._of_loss()]

    def whole(self) -> None:
        """Bring the model that was given up to date, for evaluation and checkpoints.

        Every process calls it.
        """

    def take(self) -> None:
        """Go on with the weights that the model that was given has in the first process.

        Every process calls it.
        """

    def optimizer_state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Its `state_dict` with whole tensors, the same in every process; every process calls it."""
        return optimizer.state_dict()

    def load_optimizer_state(self, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        """Go on from what `optimizer_state` gave."""
        optimizer.load_state_dict(state)

    def _of_loss(self) -> list[nn.Parameter]:
        assert self.model.loss is not None
        return [each for each in self.model.loss.parameters() if each.requires_grad]


class DDP(SingleProcess):
    """Every process has the whole model; `DistributedDataParallel` means the gradients.

    The first step is reduced here, and shows whether a batch reaches every parameter: DDP has to be
    told, and warns if it is told in vain.

    Args:
        accelerator: accelerate's, whose `prepare_model` wraps the towers.
    """

    def __init__(self, model: CLIP, recipe: Recipe, accelerator: Any) -> None:
        super().__init__(model, recipe)
        self.take()
        self.accelerator = accelerator
        self.wrapped: Any = None

    def embed(self, batch: Batch, *sides: Side) -> tuple[Tensor, ...]:
        towers = self.wrapped or self.towers
        found: tuple[Tensor, ...] = towers(batch, *sides)
        return found

    def embed_part(self, batch: Batch, *sides: Side) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = self.towers(batch, *sides)
        return found

    def take(self) -> None:
        _send((*self.model.parameters(), *self.model.buffers(), *self._of_loss()))

    def reduce(self, *, parts: bool) -> None:
        if parts or self.wrapped is None:
            _average(self.parameters())
        else:
            _average(self._of_loss())
        if not parts and self.wrapped is None:
            self._wrap()

    def _wrap(self) -> None:
        from accelerate.utils import DistributedDataParallelKwargs

        some = any(each.grad is None for each in self.model.get_trainable_parameters())
        self.accelerator.ddp_handler = DistributedDataParallelKwargs(
            find_unused_parameters=some, gradient_as_bucket_view=True
        )
        self.wrapped = self.accelerator.prepare_model(self.towers)


class FSDP(SingleProcess):
    """Every process keeps a share of each parameter of a copy of the model; `fully_shard` (FSDP2).

    The model that was given stays whole, and `whole` brings it up to date: it is evaluated and saved.
    A parameter without dimensions, which cannot be divided, and those of the loss are replicated.

    Args:
        plugin: accelerate's, for its settings.
    """

    def __init__(self, model: CLIP, recipe: Recipe, plugin: Any) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        self.given = model
        twin = copy.deepcopy(model)
        twin.loss = model.loss
        super().__init__(twin.to(memory_format=torch.contiguous_format), recipe)
        _send((*twin.parameters(), *twin.buffers(), *self._of_loss()))
        self.undivided = [each for each in twin.parameters() if not each.ndim]
        device = next(twin.parameters()).device
        how = {
            "mesh": init_device_mesh(device.type, (dist.get_world_size(),)),
            "reshard_after_forward": plugin.reshard_after_forward,
            "offload_policy": plugin.cpu_offload,
            "ignored_params": set(self.undivided),
        }
        for block in _blocks(twin):
            fully_shard(block, **how)
        fully_shard(self.towers, **how)

    def reduce(self, *, parts: bool) -> None:
        _average([*self._of_loss(), *(each for each in self.undivided if each.requires_grad)])

    def clip(self, most: float) -> float:
        gradients = [each.grad for each in self.parameters() if each.grad is not None]
        norms = [_whole(torch.linalg.vector_norm(each)).item() for each in gradients]
        norm = math.hypot(*norms)
        if norm > most:
            for each in gradients:
                each.mul_(most / (norm + 1e-6))
        return norm

    @torch.no_grad()
    def whole(self) -> None:
        own, given = self.model, self.given
        for target, source in zip(given.parameters(), own.parameters(), strict=True):
            if target.requires_grad:
                target.copy_(_whole(source))
        for kept, buffer in zip(given.buffers(), own.buffers(), strict=True):
            kept.copy_(buffer)

    @torch.no_grad()
    def take(self) -> None:
        given = [each.detach() for each in (*self.given.parameters(), *self.given.buffers())]
        _send((*given, *self._of_loss()))
        own = (*self.model.parameters(), *self.model.buffers())
        for target, source in zip(own, given, strict=True):
            target.copy_(_shared(source, target))

    def optimizer_state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        state = optimizer.state_dict()
        state["state"] = {
            number: {name: _whole(value) for name, value in of.items()}
            for number, of in state["state"].items()
        }
        return state

    def load_optimizer_state(self, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        parameters = [each for group in optimizer.param_groups for each in group["params"]]
        numbers = [number for group in state["param_groups"] for number in group["params"]]
        parameter_of = dict(zip(numbers, parameters, strict=True))
        shared = {
            number: {name: _shared(value, parameter_of[number]) for name, value in of.items()}
            for number, of in state["state"].items()
        }
        optimizer.load_state_dict({**state, "state": shared})


def parallelise(model: CLIP, recipe: Recipe, accelerator: Any = None) -> SingleProcess:
    """What trains a model in as many processes as there are, as accelerate was told to.

    Raises:
        SpecError: FSDP is asked for in its first version, or the model cannot be compiled there.
    """
    if accelerator is None or accelerator.num_processes == 1:
        return SingleProcess(model, recipe)
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() != "true":
        return DDP(model, recipe, accelerator)
    from accelerate.utils import FullyShardedDataParallelPlugin

    plugin = getattr(accelerator.state, "fsdp_plugin", None) or FullyShardedDataParallelPlugin()
    if plugin.fsdp_version != 2:
        raise SpecError(
            f"FSDP is asked for in version {plugin.fsdp_version}, and training takes version 2: "
            "answer so in accelerate config, or set fsdp_version: 2 in its file"
        )
    if recipe.compile:
        raise SpecError("train.compile: encoders that FSDP shards are not compiled; leave it out")
    return FSDP(model, recipe, plugin)


def _blocks(model: CLIP) -> list[list[nn.Module]]:
    """Of each encoder: block after block, as it is divided for decay by depth."""
    found = []
    for tower in (model.image_encoder, model.text_encoder):
        encoder: Any = None if tower is None else tower.encoder
        for names in by_depth(encoder)[1:-1] if encoder is not None else ():
            modules = [encoder.get_submodule(name) for name in names]
            found.append([each for each in modules if any(True for _ in each.parameters())])
    return [modules for modules in found if modules]


def _send(tensors: Iterable[Tensor]) -> None:
    """The first process's values to all."""
    for each in tensors:
        dist.broadcast(each.detach(), 0)


def _average(parameters: Sequence[nn.Parameter]) -> None:
    """Means of gradients over processes; a parameter that one process did not reach counts as zero."""
    if not parameters:
        return
    reached = torch.tensor(
        [each.grad is not None for each in parameters],
        dtype=torch.int32,
        device=parameters[0].device,
    )
    dist.all_reduce(reached)
    for parameter, anywhere in zip(parameters, reached.tolist(), strict=True):
        if anywhere:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad /= dist.get_world_size()
            dist.all_reduce(parameter.grad)


def _whole(value: Any) -> Any:
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def _shared(value: Any, parameter: Any) -> Any:
    """This process's share of an optimizer's tensor, as its parameter is divided."""
    if not hasattr(parameter, "device_mesh") or getattr(value, "shape", None) != parameter.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(
        value.to(parameter.device), parameter.device_mesh, parameter.placements
    )
