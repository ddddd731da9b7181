"""The warning that a deprecated name gives when something is built by it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable

from zoo.errors import DeprecatedNameWarning
from zoo.registry.component import Component, describe

__all__ = ["warn_if_deprecated"]


def warn_if_deprecated(way: Iterable[Component]) -> None:
    """Warn of the first deprecated name on the way from the one asked for to what it stands for.

    One warning, because a name further on is for the author of the former one to change.
    """
    for component in way:
        if component.deprecated:
            warnings.warn(
                f"the {describe(component.kind)} name {component.name!r} of {component.origin} is "
                f"deprecated; use {component.deprecated}",
                DeprecatedNameWarning,
                stacklevel=_outside(),
            )
            return


def _outside() -> int:
    """The stack level of the nearest caller that is not zoo itself."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] == "zoo":
        level, frame = level + 1, frame.f_back
    return level
