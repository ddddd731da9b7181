"""Whether an encoder still is what the origin of its weights gives: had again, and compared by hash."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError
from zoo.weights.read import state_sha256

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Origin"]


class Origin:
    """The `state_sha256` of an encoder that is made anew from its weights' origin, when first asked for.

    To make it at once would read every weight, when that may not be needed yet or never.

    Args:
        again: makes the encoder once more.
    """

    def __init__(self, again: Callable[[], nn.Module]) -> None:
        self._again: Callable[[], nn.Module] | None = again
        self._sha256: str | None = None

    def gives(self, sha256: str) -> bool:
        """Whether the origin gives an encoder of this hash; False where it cannot be had again."""
        return self._found() == sha256

    def _found(self) -> str | None:
        import torch

        if self._again is not None:
            again, self._again = self._again, None
            try:
                with torch.random.fork_rng(devices=[]):  # what comes after is drawn as it would be
                    self._sha256 = state_sha256(again())
            except ZooError:  # then it is not kept by its origin
                self._sha256 = None
        return self._sha256

    def __deepcopy__(self, memo: Any) -> Origin:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _known, (self._found(),)


def _known(sha256: str | None) -> Origin:
    made = Origin.__new__(Origin)
    made._again, made._sha256 = None, sha256
    return made
