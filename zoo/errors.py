"""The errors zoo raises: what is wrong, where, what to do next, and the nearest right name."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "AmbiguousNameError",
    "ArgumentError",
    "CacheError",
    "CheckpointError",
    "DataError",
    "DeprecatedNameWarning",
    "FolderError",
    "LossError",
    "MissingExtraError",
    "PluginError",
    "RegistryError",
    "RunStopped",
    "SpecError",
    "TowerError",
    "TrainingError",
    "UnknownNameError",
    "WeightsError",
    "ZooError",
    "first_line",
    "suggestion",
]


class ZooError(Exception):
    """Base of every error that zoo raises on purpose."""


class UnknownNameError(ZooError, LookupError):
    """No component, model or dataset has this name."""


class AmbiguousNameError(ZooError, LookupError):
    """Several distributions offer this name; `distribution/name` chooses one."""


class RegistryError(ZooError):
    """A registry file, or a registration, is not valid."""


class PluginError(ZooError):
    """A plugin failed, and `ZOO_STRICT=1` asks for that to be an error."""


class SpecError(ZooError, ValueError):
    """A spec is not valid; the message names the path in it and the file it came from."""


class ArgumentError(SpecError):
    """A component was given an argument that it does not take, or one of the wrong type."""


class WeightsError(ZooError):
    """Weights are missing, damaged, or not the ones that were meant."""


class FolderError(ZooError):
    """A saved model's folder is incomplete, changed, or of another format."""


class DataError(ZooError):
    """A dataset or a picture cannot be used."""


class LossError(ZooError, ValueError):
    """A loss cannot be computed from this batch, or not be differentiated in this way."""


class CacheError(ZooError):
    """Computed features cannot be kept: no room for them, or no limit that can be read."""


class CheckpointError(ZooError):
    """A run cannot be kept, or cannot go on from what was kept of it."""


class RunStopped(ZooError):
    """A run was told to stop by a signal, and was kept.

    Args:
        signal: its number.
    """

    def __init__(self, said: str, signal: int) -> None:
        super().__init__(said)
        self.signal = signal


class TowerError(ZooError):
    """The model has no such tower."""


class TrainingError(ZooError):
    """Going on with a training is of no use: its embeddings collapsed, or its loss diverged."""


class DeprecatedNameWarning(FutureWarning):
    """A name still works and will go one day; the message says what to use instead."""


class MissingExtraError(ZooError, ImportError):
    """A package that this command needs is not installed; the message has the pip command."""


def first_line(error: BaseException, said: str | None = None) -> str:
    """The first line of what an error says, without a full stop; its kind if it says nothing.

    Args:
        said: in place of what it says.
    """
    text = str(error) if said is None else said
    lines = text.strip().splitlines()
    return lines[0].strip().rstrip(".") if lines else type(error).__name__


def suggestion(name: str, choices: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the choices nearest to a mistyped name, or an empty string."""
    from difflib import get_close_matches

    candidates = {choice.lower(): choice for choice in choices}
    near = [candidates[match] for match in get_close_matches(name.lower(), candidates, n=3)]
    if not near:
        return ""
    return f" Did you mean {' or '.join(repr(match) for match in near)}?"
