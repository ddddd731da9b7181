"""What decides a cell beside its spec: versions of components, files of this machine, other models."""

from __future__ import annotations

import os
import uuid
from functools import lru_cache
from pathlib import Path
from typing import Any

from zoo.assembly import Plan, plan
from zoo.code import code_of
from zoo.errors import ZooError
from zoo.registry import Catalog
from zoo.registry.component import Origin
from zoo.registry.distributions import version_is_code
from zoo.spec import ModelSpec
from zoo.weights.address import address_of, fetched
from zoo.weights.read import sha256_of

__all__ = ["identity_of"]


def identity_of(planned: Plan, spec: ModelSpec, names: Catalog) -> dict[str, Any]:
    """What the key of a cell says beside its spec, as plain data.

    Args:
        spec: the plan's, with every weights tag.

    Raises:
        ZooError: a file of weights, a start or a teacher is not there; nothing was started.
    """
    said = _parts(planned, spec)
    said["teacher"] = _model(spec.train.teacher, "train.teacher", names)
    starts = [_model(name, "train.start", names) for name in spec.train.starts]
    said["start"] = starts[0] if len(starts) == 1 else starts or None
    return said


def _parts(planned: Plan, spec: ModelSpec) -> dict[str, Any]:
    """Origins by path; and, where there are any, what no version stands for."""
    said: dict[str, Any] = {
        "origins": {
            path: [found.component.origin.as_json(), found.root.origin.as_json()]
            for path, found in planned.components.items()
        }
    }
    local: dict[str, str] = {
        path: code_of(found.load()) or uuid.uuid4().hex  # in no file, and never the same
        for path, found in planned.components.items()
        if not _versioned(found.root.origin)
    }
    for side in planned.sides:
        address = address_of(getattr(spec, side).weights)
        if address is not None and address.kind == "file":
            local[f"{side}.weights"] = _sha256(fetched(address)[0])
    return said | {"local": local} if local else said


def _model(name: str | None, where: str, names: Catalog) -> Any:
    """Of a folder the hash of its manifest, which has those of all its files; of a name, all it means."""
    if name is None:
        return None
    manifest = Path(name, "zoo.json")
    if manifest.is_file():
        return _sha256(manifest)
    try:
        planned = plan(name, names=names)
        spec = planned.check()
        said = _parts(planned, spec)
    except ZooError as error:
        error.args = (f"{where}: {error}",)
        raise
    said["spec"] = spec.model_dump(mode="json", exclude={"name", "summary", "train"})
    trained = planned.trained and planned.trained.component.trained
    return said | {"trained": trained.sha256} if trained else said


def _versioned(origin: Origin) -> bool:
    """Whether the version in an origin stands for the code behind it."""
    return origin.layer == "built-in" or (origin.layer == "plugin" and version_is_code(origin.name))


def _sha256(path: Path) -> str:
    found = os.stat(path)
    return _sha256_in_state(path, (found.st_size, found.st_mtime_ns, found.st_ino))


@lru_cache(maxsize=256)
def _sha256_in_state(path: Path, state: tuple[int, int, int]) -> str:
    """Cells share their files; a file is read again only when it has changed."""
    return sha256_of(path)
