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

from pydantic import BaseModel, Field, ValidationError

from zoo.assembly import plan
from zoo.encoders.preprocess import Preprocess
from zoo.errors import FolderError, UnknownNameError, WeightsError
from zoo.spec import ModelSpec
from zoo.weights.fingerprint import fingerprint
from zoo.weights.read import load_strictly, read_tensors, sha256_of, state_sha256

if TYPE_CHECKING:
    import torch
    from torch import nn

    from zoo.clip import CLIP

__all__ = ["FORMAT_VERSION", "MANIFEST", "SessionComponentWarning", "check_free", "load", "save"]

FORMAT_VERSION = 1
MANIFEST = "zoo.json"
TENSORS = "model.safetensors"


class _Part(BaseModel):
    stored: bool
    sha256: str


class _Manifest(BaseModel):
    format_version: int = Field(ge=1)
    spec: ModelSpec
    parts: dict[str, _Part]
    tensors_sha256: str
    preprocess: Preprocess | None = None
    provenance: dict[str, dict[str, Any]]


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
    spec: ModelSpec | None = getattr(model, "spec", None)
    if spec is None:
        raise FolderError("only a model that zoo.build made can be saved: this one has no spec")
    check_free(target, overwrite=overwrite)
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
            "spec": spec.model_dump(mode="json"),
            "parts": parts,
            "tensors_sha256": sha256_of(draft / TENSORS),
            "preprocess": _preprocess(model),
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
            try:
                draft.rename(target)
            except BaseException:
                former.rename(target)
                raise
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
    _check_inside(folder, MANIFEST)
    manifest = _manifest(folder)
    tensors_file = _check_inside(folder, TENSORS)
    if not tensors_file.is_file():
        raise FolderError(f"{folder}: {TENSORS} is missing, so this is not a whole model")
    found = sha256_of(tensors_file)
    if found != manifest.tensors_sha256:
        raise FolderError(
            f"{tensors_file}: changed since it was saved: sha256 is {found}, and {MANIFEST} says "
            f"{manifest.tensors_sha256}"
        )
    model = _build(folder, manifest, device)
    tensors = read_tensors(tensors_file)
    for path, module, _ in _parts(model):
        part = manifest.parts.get(path)
        if part is None:
            raise FolderError(f"{folder / MANIFEST}: says nothing of the part {path!r}")
        if part.stored:
            prefix = f"{path}."
            mine = {
                name.removeprefix(prefix): tensors.pop(name)
                for name in list(tensors)
                if name.startswith(prefix)
            }
            load_strictly(module, mine, f"{tensors_file} ({path})")
        elif state_sha256(module) != part.sha256:
            origin = manifest.provenance.get(path, {}).get("weights")
            raise WeightsError(
                f"{folder}: the frozen {path} has other weights now than when the model was saved; "
                f"they come from {origin}"
            )
    if tensors:
        raise FolderError(f"{tensors_file}: holds unexpected tensors, such as {min(tensors)!r}")
    if manifest.preprocess is not None and model.image_encoder is not None:
        encoder: Any = model.image_encoder.encoder
        encoder.preprocess = manifest.preprocess
    model.spec = manifest.spec
    model.provenance = manifest.provenance
    return model


def _build(folder: Path, manifest: _Manifest, device: str | torch.device) -> CLIP:
    """The model of a manifest; weights are fetched only for the parts the folder does not store."""
    spec, parts = manifest.spec, manifest.parts
    towers = [side for side in ("image", "text") if f"{side}.encoder" in parts]
    bare = {
        side: getattr(spec, side).model_copy(update={"weights": None})
        for side in towers
        if parts[f"{side}.encoder"].stored
    }
    try:
        return plan(spec.model_copy(update=bare), towers=towers).build(device)
    except UnknownNameError as error:
        error.args = (f"{folder}: {error}{_how_to_bring(manifest, error)}",)
        raise


def _how_to_bring(manifest: _Manifest, error: UnknownNameError) -> str:
    path = str(error).partition(" ")[0].rstrip(":")
    origin = manifest.provenance.get(path, {}).get("origin", {})
    if origin.get("layer") == "plugin":
        return f" It came from {origin['name']} {origin['version']}: pip install {origin['name']}"
    if origin.get("layer") == "session":
        return " It was given by zoo.register in a session; register it again, then load"
    if origin.get("layer") == "user file":
        return f" It came from the registry file {origin['name']}; set ZOO_REGISTRY to it"
    return ""


def _check_inside(folder: Path, name: str) -> Path:
    """A file of the folder, which a symlink does not lead out of."""
    file = folder / name
    try:
        real = file.resolve()
    except (OSError, RuntimeError) as error:  # links that go round
        raise FolderError(f"{file}: cannot be followed: {error}") from error
    if not real.is_relative_to(folder.resolve()):
        raise FolderError(f"{file}: is a link out of the folder, to {real}; nothing was read")
    return file


def _manifest(folder: Path) -> _Manifest:
    path = folder / MANIFEST
    if not path.is_file():
        raise FolderError(f"{folder}: no saved model here ({MANIFEST} is missing)")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FolderError(f"{path}: not a manifest that zoo wrote: {error}") from error
    found = data.get("format_version") if isinstance(data, dict) else None
    if isinstance(found, int) and found > FORMAT_VERSION:
        raise FolderError(
            f"{path}: of format {found}, and this zoo reads up to {FORMAT_VERSION}; upgrade with: "
            "pip install -U clip-zoo"
        )
    try:
        return _Manifest.model_validate(data)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, each['loc'])) or 'all of it'}: {each['msg']}"
            for each in error.errors()
        ]
        raise FolderError(f"{path}: not a manifest that zoo wrote: {'; '.join(faults)}") from error


def _preprocess(model: CLIP) -> dict[str, Any] | None:
    """What travels with the weights, where it is data of zoo's own kind."""
    found = model.image_encoder and model.image_encoder.encoder.preprocess
    return found.as_json() if isinstance(found, Preprocess) else None


def _parts(model: CLIP) -> Iterator[tuple[str, nn.Module, bool]]:
    """Every part with its path, and whether its origin is enough to have it again."""
    for side in ("image", "text"):
        tower: Any = getattr(model, f"{side}_encoder")
        if tower is None:
            continue
        for part in ("encoder", "head"):
            module = getattr(tower, part)
            yield f"{side}.{part}", module, part in tower.frozen_parts and _untouched(module)
    if model.loss is not None:
        yield "loss", model.loss, False


def _untouched(module: nn.Module) -> bool:
    """Whether a part still is what its weights' origin gives."""
    loaded = getattr(module, "loaded_fingerprint", None)
    has_origin = getattr(module, "weights_source", None) is not None
    return has_origin and loaded == fingerprint(module)


def check_free(target: Path, *, overwrite: bool) -> None:
    """Raise unless a model may be saved here.

    Raises:
        FolderError: something is here that is not to be replaced.
    """
    if not target.exists():
        return
    if not overwrite:
        raise FolderError(
            f"{target}: exists already; choose another folder, or say --overwrite (overwrite=True in code)"
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
    with file.open("rb+") as handle:
        os.fsync(handle.fileno())
