"""The installed distributions that have something for zoo, each read on its own."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import (
    Distribution,
    EntryPoint,
    MetadataPathFinder,
    PackageNotFoundError,
    distributions,
)
from pathlib import Path

from zoo.registry.component import Origin, normalised, one_line

__all__ = ["Installed", "installed", "version_is_code"]


@dataclass(frozen=True)
class Installed:
    """One distribution as its metadata tells it. Nothing of it has been imported."""

    origin: Origin
    path: Path
    entries: tuple[EntryPoint, ...] = ()
    """Its entry points in zoo's groups, sorted."""
    requirements: tuple[str, ...] = ()
    part: str = "metadata"
    """What of it is at fault, if something is."""
    fault: str = ""
    """Why all of it is refused; empty if it is not."""


def installed(groups: Sequence[str]) -> list[Installed]:
    """The distributions with entry points in these groups, in the order of the path.

    Of one that is there twice the first counts, as it does for imports. The other comes with a
    fault, unless it is the same folder again or says the same.
    """
    found: list[Installed] = []
    first: dict[str, Installed] = {}
    for distribution in _all():
        each = _read(distribution, groups)
        if each is None:
            continue
        known = first.setdefault(normalised(each.origin.name), each)
        if known is not each:
            if _harmless(each, known):
                continue
            each = replace(each, entries=(), part="second copy", fault=_hidden(each, known))
        found.append(each)
    return found


def version_is_code(name: str) -> bool:
    """Whether a distribution's version stands for its code: it was installed as an index has it.

    What came from a folder (editable or not), a repository or a file says so in `direct_url.json`,
    and its code may change under one version; what no installer wrote has no `RECORD`.
    """
    try:
        found = Distribution.from_name(name)
    except PackageNotFoundError:
        return False
    return found.read_text("RECORD") is not None and found.read_text("direct_url.json") is None


def _all() -> list[Distribution]:
    try:
        return list(distributions())
    except Exception:  # an import finder of somebody else that cannot list; Python's own can
        return list(MetadataPathFinder.find_distributions())


def _read(distribution: Distribution, groups: Sequence[str]) -> Installed | None:
    path = Path(str(getattr(distribution, "_path", "unknown")))
    text = _entry_points_text(distribution, path)
    if not any(f"[{group}]" in text for group in groups):
        return None
    try:
        metadata = distribution.metadata
        name, version = metadata["Name"], metadata["Version"]
        requirements = tuple(metadata.get_all("Requires-Dist") or distribution.requires or ())
    except Exception:  # missing, or of another encoding, or cut short
        name, version, requirements = "", "", ()
    if not name:
        fault = f"{path}: its metadata cannot be read; install the distribution again"
        return Installed(Origin("plugin", one_line(path.stem)), path, fault=fault)
    origin = Origin("plugin", one_line(name), one_line(version) if version else None)
    try:
        entries = [entry for entry in distribution.entry_points if entry.group in groups]
    except Exception as error:
        return Installed(origin, path, fault=f"its entry points cannot be read: {error}")
    entries.sort(key=lambda entry: (entry.group, entry.name))
    return Installed(origin, path, tuple(entries), requirements)


def _entry_points_text(distribution: Distribution, path: Path) -> str:
    try:
        return distribution.read_text("entry_points.txt") or ""
    except Exception:  # not UTF-8; whether it is zoo's business can be told all the same
        with contextlib.suppress(OSError):
            return (path / "entry_points.txt").read_bytes().decode(errors="replace")
        return ""


def _harmless(copy: Installed, first: Installed) -> bool:
    with contextlib.suppress(OSError):
        if copy.path.resolve() == first.path.resolve():
            return True
    return not copy.fault and (_said(copy) == _said(first))


def _said(each: Installed) -> tuple[object, ...]:
    return each.origin.version, [(entry.group, entry.name, entry.value) for entry in each.entries]


def _hidden(copy: Installed, first: Installed) -> str:
    return (
        f"a second copy, version {copy.origin.version} at {copy.path}, is hidden by version "
        f"{first.origin.version} at {first.path}; remove both with pip uninstall {first.origin.name} "
        "(twice), and install the one you want"
    )
