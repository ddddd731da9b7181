"""`load`: a folder to the model that was saved, or an error that names what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.assembly import plan
from zoo.errors import FolderError, UnknownNameError, WeightsError
from zoo.folder.manifest import MANIFEST, TENSORS, Manifest, read_manifest
from zoo.folder.parts import parts_of
from zoo.folder.small_files import check_inside, small_files_in
from zoo.folder.swap import standing
from zoo.weights.bounds import building_for, sizes_in
from zoo.weights.hub import PATHS, local_folder
from zoo.weights.read import load_strictly, read_tensors, sha256_of, state_sha256

if TYPE_CHECKING:
    import torch

    from zoo.clip import CLIP

__all__ = ["load"]

_ATTEMPTS = 5
"""Another process may put a new model in place while the old one is read: a mixture is not kept."""


def load(folder: str | PathLike[str], *, device: str | torch.device = "cpu") -> CLIP:
    """Open a folder that `save` wrote, of this version or an older one.

    Nothing in it can name code to run or a file outside it.

    Raises:
        FolderError: a file is missing, changed, unexpected, or of a newer format.
        UnknownNameError: a component is not installed; the message has the pip command.
        WeightsError: weights are damaged, or a frozen part's are not the ones it was saved with.
    """
    asked = Path(folder)
    for attempt in range(_ATTEMPTS):
        place = standing(asked)
        before = _identity(place)
        try:
            model = _load(place, device)
        except (FolderError, WeightsError, OSError):
            if _identity(standing(asked)) == before or attempt == _ATTEMPTS - 1:
                raise
        else:
            if _identity(standing(asked)) == before:
                return model
    raise FolderError(f"{asked}: was replaced {_ATTEMPTS} times while it was read; load it again")


def _load(folder: Path, device: str | torch.device) -> CLIP:
    check_inside(folder, MANIFEST)
    manifest = read_manifest(folder)
    tensors_file = check_inside(folder, TENSORS)
    if not tensors_file.is_file():
        raise FolderError(f"{folder}: {TENSORS} is missing, so this is not a whole model")
    found = sha256_of(tensors_file)
    if found != manifest.tensors_sha256:
        raise FolderError(
            f"{tensors_file}: changed since it was saved: sha256 is {found}, and {MANIFEST} says "
            f"{manifest.tensors_sha256}"
        )
    saved_files = small_files_in(folder, manifest.files)
    _check_inside_too(folder, manifest, saved_files)
    model = _build(folder, manifest, device, saved_files)
    tensors = read_tensors(tensors_file)
    for path, module, _ in parts_of(model):
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
        elif getattr(getattr(module, "weights_source", None), "is_local", False):
            raise FolderError(f"{folder}: the weights of {path} are outside the folder")
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


def _build(
    folder: Path, manifest: Manifest, device: str | torch.device, saved_files: Mapping[str, Path]
) -> CLIP:
    """The model of a manifest; weights are fetched only for the parts the folder does not store."""
    spec, parts = manifest.spec, manifest.parts
    towers = [side for side in ("image", "text") if f"{side}.encoder" in parts]
    bare = {
        side: getattr(spec, side).model_copy(update={"weights": None})
        for side in towers
        if parts[f"{side}.encoder"].stored
    }
    sizes = sizes_in(folder / TENSORS, {path: part.stored for path, part in parts.items()})
    around = {
        path: building_for(sizes[path], path) for path in (f"{side}.encoder" for side in bare)
    }
    try:
        planned = plan(spec.model_copy(update={**bare, "trained": None}), towers=towers)
        return planned.build(device, saved_files=saved_files, around=around)
    except UnknownNameError as error:
        error.args = (f"{folder}: {error}{_how_to_bring(manifest, error)}",)
        raise


def _check_inside_too(folder: Path, manifest: Manifest, saved_files: Mapping[str, Path]) -> None:
    """Refuse a spec by which an encoder would be read from elsewhere on this machine."""
    for side in ("image", "text"):
        part = manifest.parts.get(f"{side}.encoder")
        if part is None:
            continue
        tower = getattr(manifest.spec, side)
        where = f"{folder / MANIFEST}: {side}"
        if not part.stored and str(tower.weights).startswith("file:"):
            raise FolderError(
                f"{where}.weights: {tower.weights!r} is outside the folder; nothing was read"
            )
        family, _, place = tower.encoder.name.partition("/")
        whole = part.stored and f"{side}.encoder" in saved_files
        if family == "hf" and not whole and _is_local(place, tower.encoder.args.get("revision")):
            raise FolderError(
                f"{where}.encoder: {tower.encoder.name!r} is a folder outside this one; nothing was read"
            )


def _is_local(place: str, revision: str | None) -> bool:
    """Whether `hf/` would read it from this machine and not as a repository."""
    try:
        return place.startswith(PATHS) or local_folder(place, revision) is not None
    except ValueError:  # no name of anything, or a folder with a revision
        return True


def _how_to_bring(manifest: Manifest, error: UnknownNameError) -> str:
    path = str(error).partition(" ")[0].rstrip(":")
    origin = manifest.provenance.get(path, {}).get("origin", {})
    if origin.get("layer") == "plugin":
        return f" It came from {origin['name']} {origin['version']}: pip install {origin['name']}"
    if origin.get("layer") == "session":
        return " It was given by zoo.register in a session; register it again, then load"
    if origin.get("layer") == "user file":
        return f" It came from the registry file {origin['name']}; set ZOO_REGISTRY to it"
    return ""


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
