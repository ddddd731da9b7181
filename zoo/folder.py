"""A model as a folder: `save` and `load`."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from zoo.assembly import plan
from zoo.errors import FolderError, UnknownNameError, WeightsError
from zoo.spec import ModelSpec
from zoo.weights.read import load_strictly, read_tensors, sha256_of, state_sha256

if TYPE_CHECKING:
    import torch
    from torch import nn

    from zoo.clip import CLIP

__all__ = ["FORMAT_VERSION", "MANIFEST", "SessionComponentWarning", "load", "save"]

FORMAT_VERSION = 1
MANIFEST = "zoo.json"
TENSORS = "model.safetensors"


class SessionComponentWarning(UserWarning):
    """A saved model depends on a component that only `zoo.register` gave it."""


def save(
    model: CLIP,
    folder: str | PathLike[str],
    *,
    overwrite: bool = False,
    record: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model: `zoo.json` (spec, provenance, hashes) and `model.safetensors`.

    A frozen part whose weights can be had again is kept by its origin and hash only. The folder
    appears whole or not at all.

    Args:
        overwrite: replace a model that is there already; nothing else is ever replaced.
        record: further entries for the manifest, such as how the model was trained.

    Raises:
        FolderError: the folder exists, or the model was not built from a spec.
    """
    from safetensors.torch import save_file

    target = Path(folder)
    if model.spec is None:
        raise FolderError("only a model that zoo.build made can be saved: this one has no spec")
    _check_free(target, overwrite)
    parts: dict[str, dict[str, Any]] = {}
    tensors: dict[str, torch.Tensor] = {}
    for path, module, by_origin in _parts(model):
        parts[path] = {"stored": not by_origin, "sha256": state_sha256(module)}
        if not by_origin:
            tensors |= {
                f"{path}.{name}": tensor.detach().cpu().contiguous().clone()
                for name, tensor in module.state_dict().items()
            }
    _tell_of_session(model)

    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        save_file(tensors, draft / TENSORS)
        manifest = {
            **(record or {}),
            "format_version": FORMAT_VERSION,
            "spec": model.spec.model_dump(mode="json"),
            "parts": parts,
            "tensors_sha256": sha256_of(draft / TENSORS),
            "provenance": model.provenance,
        }
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        for file in draft.iterdir():
            file.chmod(0o644)
            _sync(file)
        draft.chmod(0o755)
        if target.exists():
            former = draft.with_name(draft.name + ".former")
            target.rename(former)
            draft.rename(target)
            shutil.rmtree(former)
        else:
            draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return target


def load(folder: str | PathLike[str], *, device: str | torch.device = "cpu") -> CLIP:
    """Open a folder that `save` wrote. Nothing in it can name code to run.

    Raises:
        FolderError: a file is missing, changed, or of a newer format.
        UnknownNameError: a component is not installed; the message has the pip command.
        WeightsError: weights are damaged, or a frozen part's are not the ones it was saved with.
    """
    folder = Path(folder)
    manifest = _manifest(folder)
    tensors_file = folder / TENSORS
    if not tensors_file.is_file():
        raise FolderError(f"{folder}: {TENSORS} is missing, so this is not a whole model")
    found = sha256_of(tensors_file)
    if found != manifest["tensors_sha256"]:
        raise FolderError(
            f"{tensors_file}: changed since it was saved: sha256 is {found}, and {MANIFEST} says "
            f"{manifest['tensors_sha256']}"
        )
    try:
        spec = ModelSpec.model_validate(manifest["spec"])
    except ValidationError as error:
        raise FolderError(f"{folder / MANIFEST}: its spec is not valid: {error}") from error

    model = _build(folder, manifest, spec, device)
    tensors = read_tensors(tensors_file)
    for path, module, _ in _parts(model):
        part = manifest["parts"].get(path)
        if part is None:
            raise FolderError(f"{folder / MANIFEST}: says nothing of the part {path!r}")
        if part["stored"]:
            prefix = f"{path}."
            mine = {
                name.removeprefix(prefix): tensors.pop(name)
                for name in list(tensors)
                if name.startswith(prefix)
            }
            load_strictly(module, mine, f"{tensors_file} ({path})")
        elif state_sha256(module) != part["sha256"]:
            raise WeightsError(
                f"{folder}: the frozen {path} has other weights now than when the model was saved; "
                f"they come from {manifest['provenance'][path].get('weights')}"
            )
    if tensors:
        raise FolderError(f"{tensors_file}: holds unexpected tensors, such as {min(tensors)!r}")
    model.spec = spec
    model.provenance = manifest["provenance"]
    return model


def _build(
    folder: Path, manifest: dict[str, Any], spec: ModelSpec, device: str | torch.device
) -> CLIP:
    """The model of a manifest; weights are fetched only for the parts the folder does not store."""
    parts = manifest["parts"]
    towers = [side for side in ("image", "text") if f"{side}.encoder" in parts]
    bare = {
        side: getattr(spec, side).model_copy(update={"weights": None})
        for side in towers
        if parts[f"{side}.encoder"]["stored"]
    }
    try:
        return plan(spec.model_copy(update=bare), towers=towers).build(device)
    except UnknownNameError as error:
        raise UnknownNameError(f"{folder}: {error}{_how_to_bring(manifest, error)}") from error


def _how_to_bring(manifest: dict[str, Any], error: UnknownNameError) -> str:
    path = str(error).partition(" ")[0].rstrip(":")
    origin = manifest["provenance"].get(path, {}).get("origin", {})
    if origin.get("layer") == "plugin":
        return f" It came from {origin['name']} {origin['version']}: pip install {origin['name']}"
    if origin.get("layer") == "session":
        return " It was given by zoo.register in a session; register it again, then load"
    if origin.get("layer") == "user file":
        return f" It came from the registry file {origin['name']}; set ZOO_REGISTRY to it"
    return ""


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise FolderError(f"{folder}: no saved model here ({MANIFEST} is missing)")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["format_version"]
        missing = {"spec", "parts", "tensors_sha256", "provenance"} - manifest.keys()
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FolderError(f"{path}: not a manifest that zoo wrote: {error}") from error
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise FolderError(
            f"{path}: of format {version}, and this zoo reads up to {FORMAT_VERSION}; upgrade with: "
            "pip install -U clip-zoo"
        )
    if missing:
        raise FolderError(f"{path}: lacks {', '.join(sorted(missing))}")
    loaded: dict[str, Any] = manifest
    return loaded


def _parts(model: CLIP) -> Iterator[tuple[str, nn.Module, bool]]:
    """Every part with its path, and whether its origin is enough to have it again."""
    for side in ("image", "text"):
        tower: Any = getattr(model, f"{side}_encoder")
        if tower is None:
            continue
        for part in ("encoder", "head"):
            module = getattr(tower, part)
            frozen = part in tower.frozen_parts
            again = getattr(module, "weights_source", None) is not None
            yield f"{side}.{part}", module, frozen and again
    if model.loss is not None:
        yield "loss", model.loss, False


def _check_free(target: Path, overwrite: bool) -> None:
    if not target.exists():
        return
    if not overwrite:
        raise FolderError(
            f"{target}: exists already; choose another folder, or ask to overwrite it"
        )
    if not (target / MANIFEST).is_file():
        raise FolderError(
            f"{target}: holds something that is not a saved model; nothing was written"
        )


def _tell_of_session(model: CLIP) -> None:
    names = [
        f"{path} ({entry['name']})"
        for path, entry in model.provenance.items()
        if entry["origin"]["layer"] == "session"
    ]
    if names:
        warnings.warn(
            f"this model depends on {', '.join(names)}, known to this session only: it loads again "
            "only after the same zoo.register call",
            SessionComponentWarning,
            stacklevel=3,
        )


def _sync(file: Path) -> None:
    with file.open("rb") as handle:
        os.fsync(handle.fileno())
