"""`save`: a model to a folder."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from zoo.encoders.preprocess import Preprocess
from zoo.errors import FolderError
from zoo.folder.card import CARD, card
from zoo.folder.half import halved
from zoo.folder.manifest import FORMAT_VERSION, MANIFEST, TENSORS
from zoo.folder.parts import is_of_its_origin, parts_of
from zoo.folder.small_files import write_small_files
from zoo.folder.swap import drafted, standing
from zoo.spec import ModelSpec
from zoo.weights.claims import check_numbers
from zoo.weights.read import sha256_of, state_sha256, tensors_sha256

if TYPE_CHECKING:
    import torch

    from zoo.clip import CLIP

__all__ = ["SessionComponentWarning", "check_free", "save"]

_LIBRARIES = ("clip-zoo", "torch", "torchvision", "timm", "transformers", "safetensors")


class SessionComponentWarning(UserWarning):
    """A saved model depends on a component that only `zoo.register` gave it."""


def save(
    model: CLIP,
    folder: str | PathLike[str],
    *,
    self_contained: bool = False,
    half: bool = False,
    overwrite: bool = False,
    record: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model: manifest, tensors, the small files of its encoders, and a model card.

    A frozen part whose weights can be had again is kept by its origin and hash only. Killed at any
    moment, what was in the folder before stands, or the new model does; see `zoo.folder.swap`.

    Args:
        self_contained: store every part whole, so that the folder loads without network and cache.
        half: store float32 weights rounded to float16, in half the space; they load as float32.
        overwrite: replace a model that is there already; nothing else is ever replaced.
        record: further entries for the manifest, such as how the model was trained.

    Raises:
        FolderError: the folder exists, or the model was not built from a spec.
        WeightsError: a parameter is not a finite number, also as float16, or the folder is
            to be self-contained and a tokenizer cannot be had.
    """
    from safetensors.torch import save_file

    target = Path(folder)
    spec: ModelSpec | None = getattr(model, "spec", None)
    if spec is None:
        raise FolderError("only a model that zoo.build made can be saved: this one has no spec")
    check_free(target, overwrite=overwrite)
    parts: dict[str, dict[str, Any]] = {}
    tensors: dict[str, torch.Tensor] = {}
    encoders: dict[str, object] = {}
    for path, module, frozen in parts_of(model):
        sha256 = state_sha256(module)
        stored = self_contained or not (frozen and is_of_its_origin(module, sha256))
        parts[path] = {"stored": stored, "sha256": sha256}
        if path.endswith(".encoder"):
            encoders[path] = module
        if stored:
            state = module.state_dict()
            if half:
                kinds = {name: tensor.dtype for name, tensor in state.items()}
                state = halved(state, f"{target}: not saved: {path}")
                as_loaded = {name: tensor.to(kinds[name]) for name, tensor in state.items()}
                parts[path]["sha256"] = tensors_sha256(as_loaded)
            check_numbers(module, state, f"{target}: not saved: {path}")
            tensors |= {
                f"{path}.{name}": tensor.detach().cpu().contiguous().clone()
                for name, tensor in state.items()
            }
    _tell_of_session(model)

    with drafted(target, replace=overwrite) as draft:
        files = write_small_files(encoders, draft, needed=self_contained)
        save_file(tensors, draft / TENSORS, metadata={"format": "pt"})
        manifest = {
            **(record or {}),
            "format_version": FORMAT_VERSION,
            "spec": spec.model_dump(mode="json"),
            "self_contained": self_contained,
            "parts": parts,
            "tensors_sha256": sha256_of(draft / TENSORS),
            "files": files,
            "preprocess": _preprocess(model),
            "provenance": model.provenance,
            "written_with": _versions(model.provenance, parts),
        }
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        (draft / CARD).write_text(card(model, manifest, target.name), encoding="utf-8")
    return target


def check_free(target: Path, *, overwrite: bool) -> None:
    """Raise unless a model may be saved here.

    Raises:
        FolderError: something is here that is not to be replaced.
    """
    found = standing(target)
    if not found.exists():
        return
    if not overwrite:
        raise FolderError(
            f"{target}: exists already; choose another folder, or say --overwrite (overwrite=True in code)"
        )
    if not (found / MANIFEST).is_file():
        raise FolderError(
            f"{target}: holds something that is not a saved model; nothing was written"
        )
    strangers = _not_of_the_model(found)
    if strangers:
        listed = ", ".join(strangers[:3]) + (", …" if len(strangers) > 3 else "")
        raise FolderError(
            f"{target}: also holds what zoo did not write, and would be lost: {listed}; take it "
            "away or choose another folder. Nothing was written"
        )


def _not_of_the_model(folder: Path) -> list[str]:
    """What is in a saved model's folder besides the model, by the outermost name."""
    known = {MANIFEST, TENSORS, CARD}
    with suppress(OSError, ValueError, AttributeError, TypeError, RecursionError):
        known |= set(json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("files", {}))
    known |= {str(above) for name in list(known) for above in PurePosixPath(name).parents}
    found = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*"))]
    strangers = [name for name in found if name not in known]
    return [name for name in strangers if str(PurePosixPath(name).parent) not in strangers][:100]


def _preprocess(model: CLIP) -> dict[str, Any] | None:
    """What travels with the weights, where it is data of zoo's own kind."""
    found = model.image_encoder and model.image_encoder.encoder.preprocess
    return found.as_json() if isinstance(found, Preprocess) else None


def _versions(provenance: Mapping[str, Any], parts: Iterable[str]) -> dict[str, str]:
    """The libraries that the weights went through, and the plugins that the parts came from."""
    names = [*_LIBRARIES]
    if any(path.endswith(".adapters") for path in parts):
        names.append("peft")
    for entry in provenance.values():
        if entry["origin"]["layer"] == "plugin":
            names.append(entry["origin"]["name"])
    found = {}
    for name in dict.fromkeys(names):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


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
