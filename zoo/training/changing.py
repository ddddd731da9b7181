"""What of a model changes while it trains, and hashes of what does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from zoo.clip import CLIP
from zoo.errors import CheckpointError
from zoo.weights.read import tensors_sha256

__all__ = ["Changing"]

_PARTS = (
    "image_encoder.encoder",
    "image_encoder.head",
    "text_encoder.encoder",
    "text_encoder.head",
)


class Changing:
    """The parameters that train, and the buffers of modules in train mode, such as batch norms.

    The buffers of a head that was solved from the data count too, also where the head is frozen: on
    another machine it would be solved to other last bits.

    Args:
        model: in the modes that it trains in.
    """

    def __init__(self, model: CLIP) -> None:
        towers = {
            "image_encoder.": model.image_encoder,
            "text_encoder.": model.text_encoder,
            "loss.": model.loss,
        }
        self._modules: list[tuple[str, nn.Module]] = [
            # One that is cut goes by the parts of the whole: wherever it can be cut, and where not.
            (name, getattr(part, "whole", part))
            for name, part in towers.items()
            if part is not None
        ]
        solved = {
            id(module)
            for _, part in self._modules
            if isinstance(head := getattr(part, "head", None), nn.Module) and hasattr(head, "fit")
            for module in head.modules()
        }
        self._names = {
            name
            for name, owner, tensor, is_parameter in self._all()
            if (tensor.requires_grad if is_parameter else owner.training or id(owner) in solved)
        }

    def tensors(self) -> dict[str, Tensor]:
        """As they are now, by name."""
        return {name: tensor.detach() for name, _, tensor, _ in self._all() if name in self._names}

    def names(self) -> dict[int, str]:
        """The name of each tensor of the model, by `id`."""
        return {id(tensor): name for name, _, tensor, _ in self._all()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Set all of them, in place.

        Raises:
            CheckpointError: there are others, or some have another shape.
        """
        mine = self.tensors()
        differing = sorted(mine.keys() ^ tensors.keys()) or [
            name for name, tensor in mine.items() if tensor.shape != tensors[name].shape
        ]
        if differing:
            raise CheckpointError(
                f"what trains is not what the checkpoint holds: {', '.join(differing[:3])}"
            )
        for name, tensor in mine.items():
            tensor.copy_(tensors[name])

    def sha256(self) -> str:
        """One hash over all of them."""
        return tensors_sha256(self.tensors())

    def frozen(self) -> dict[str, str]:
        """A hash of what stands still, for each part of the model that has any."""
        parts: dict[str, dict[str, Tensor]] = {}
        for name, _, tensor, _ in self._all():
            if name not in self._names:
                part = next((each for each in _PARTS if name.startswith(f"{each}.")), None)
                side = (part or name).replace("_encoder", "", 1)
                parts.setdefault(side if part else side.partition(".")[0], {})[name] = tensor
        return {part: tensors_sha256(tensors) for part, tensors in sorted(parts.items())}

    def _all(self) -> Iterator[tuple[str, nn.Module, Tensor, bool]]:
        """Every tensor once: its name, the module that owns it, and whether it is a parameter."""
        seen: set[int] = set()
        for prefix, root in self._modules:
            for path, module in root.named_modules():
                owned = [
                    *((each, True) for each in module._parameters.items()),
                    *((each, False) for each in module._buffers.items()),
                ]
                for (name, tensor), is_parameter in owned:
                    if tensor is not None and id(tensor) not in seen:
                        seen.add(id(tensor))
                        yield (
                            f"{prefix}{path}{'.' if path else ''}{name}",
                            module,
                            tensor,
                            is_parameter,
                        )
