"""Which versions of zoo a plugin works with, as the requirements of its distribution say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import version

from zoo.registry.component import normalised

__all__ = ["range_from", "refusal", "zoo_version"]

_ZOO = "clip-zoo"


def zoo_version() -> str | None:
    """The installed version of zoo, which is its API version; None where it has no metadata."""
    try:
        return version(_ZOO)
    except Exception:  # not installed, or an import finder of somebody else that cannot look
        return None


def range_from(installed: str) -> str:
    """The requirement of a plugin written for this version of zoo: up to the next that may break it.

    Before 1.0 that is the next minor version, from then on the next major one.
    """
    from packaging.version import Version

    found = Version(installed)
    start = f"{found.major}.{found.minor}"
    if found < Version(start):  # a pre-release of it
        start = found.public
    end = f"{found.major + 1}" if found.major else f"0.{found.minor + 1}"
    return f"{_ZOO}>={start},<{end}"


def refusal(requirements: Iterable[str], distribution: str) -> str:
    """Why a plugin with these requirements does not work with this zoo; empty if it does.

    Args:
        requirements: as in `Requires-Dist`; all but those on clip-zoo are left to pip.
        distribution: the plugin's, for the command that mends it.
    """
    return next(filter(None, (_refusal(text, distribution) for text in requirements)), "")


def _refusal(requirement: str, distribution: str) -> str:
    name, rest = re.fullmatch(r"\s*([\w.-]*)\s*(.*)", requirement, re.DOTALL).groups()  # type: ignore[union-attr]
    if normalised(name) != _ZOO or not rest:
        return ""
    # Here, because most plugins say no more than the name, and listing them should not wait for it.
    from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.version import InvalidVersion

    try:
        asked = Requirement(requirement)
        if asked.marker is not None and not asked.marker.evaluate({"extra": ""}):
            return ""
    except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName) as error:
        return f"its requirement {requirement!r} is not valid: {error}"
    installed = zoo_version()
    try:
        if installed is None or asked.specifier.contains(installed, prereleases=True):
            return ""
    except InvalidVersion:
        return ""
    return (
        f"needs {requirement.partition(';')[0].strip()}, and {installed} is installed; bring both up "
        f"to date with: pip install -U {_ZOO} {distribution}"
    )
