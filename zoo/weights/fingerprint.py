"""A quick mark of a module's values, to notice that they were changed after they were loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["LoadedFingerprint", "fingerprint"]


def fingerprint(module: nn.Module) -> tuple[float, ...]:
    """One sum per tensor, in float64. Far quicker than a hash; not meant against intent."""
    import torch

    return tuple(
        0.0 if tensor.is_meta else tensor.detach().cpu().sum(dtype=torch.float64).item()
        for tensor in module.state_dict().values()
    )


class LoadedFingerprint:
    """The fingerprint that a module had when its weights were read, taken when it is first asked for.

    To take it at once would read every weight, when they may not be needed yet or never. It is
    equal to a fingerprint if the same weights are had again from where they came.

    Args:
        again: makes the module once more.
    """

    def __init__(self, again: Callable[[], nn.Module]) -> None:
        self._again: Callable[[], nn.Module] | None = again
        self._values: tuple[float, ...] | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, tuple) and self.values() == other

    __hash__ = None  # type: ignore[assignment]

    def values(self) -> tuple[float, ...] | None:
        """The fingerprint, or None where the weights cannot be had again."""
        import torch

        if self._again is not None:
            again, self._again = self._again, None
            try:
                with torch.random.fork_rng(devices=[]):  # what comes after is drawn as it would be
                    self._values = fingerprint(again())
            except ZooError:  # then it is not kept by its origin
                self._values = None
        return self._values

    def __deepcopy__(self, memo: Any) -> LoadedFingerprint:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _known, (self.values(),)


def _known(values: tuple[float, ...] | None) -> LoadedFingerprint:
    made = LoadedFingerprint.__new__(LoadedFingerprint)
    made._again, made._values = None, values
    return made
