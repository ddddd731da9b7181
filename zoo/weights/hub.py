"""Files of a HuggingFace repository: from the cache if all are there, else from the hub."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo.errors import ArgumentError, WeightsError, first_line
from zoo.weights.record import pin_of, verified

__all__ = [
    "PATHS",
    "HubFile",
    "HubFiles",
    "hub_file",
    "hub_files",
    "is_small",
    "local_folder",
    "read_json",
    "weight_files",
    "weight_map",
]

_TOKENIZER = re.compile(
    r"tokenizer.*\.(json|model)|vocab\.(txt|json)|merges\.txt|special_tokens_map\.json"
    r"|added_tokens\.json|.*\.spm|spiece\.model|sentencepiece.*\.model|sentence_bert_config\.json"
    r"|modules\.json|1_Pooling/config\.json|(pre)?processor_config\.json"
)
_VOCABULARY = re.compile(r"tokenizer\.json|vocab\.(txt|json)|.*\.(model|spm)")
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
PATHS = ("/", "~", ".", "\\")
"""What no repository's name begins with."""


@dataclass(frozen=True)
class HubFiles:
    """A folder with a model's config, tokenizer and, when asked for, weights."""

    folder: Path
    repository: str
    revision: str | None
    weights: str | None
    """The name of the weights file, or of the index of several."""
    sha256: str | None

    def file(self, name: str) -> Path:
        return self.folder / name

    def optional(self, name: str) -> Path | None:
        """A small file that a repository may or may not have; the hub is asked once.

        Raises:
            WeightsError: whether it has one is not known, and the hub cannot be asked.
        """
        if self.file(name).is_file():
            return self.file(name)
        if self.revision is None:  # a local folder
            return None
        from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        known = try_to_load_from_cache(self.repository, name, revision=self.revision)
        if known is _CACHED_NO_EXIST:
            return None
        try:
            return Path(hf_hub_download(self.repository, name, revision=self.revision))
        except LocalEntryNotFoundError as error:
            raise WeightsError(
                f"whether {self.repository!r} has {name} is not known, and the hub cannot be asked"
            ) from error
        except EntryNotFoundError:
            return None


@dataclass(frozen=True)
class HubFile:
    """One file of a repository, verified."""

    path: Path
    revision: str
    sha256: str


def hub_file(repository: str, names: Iterable[str], revision: str | None = None) -> HubFile:
    """The first of `names` that a repository has: from the cache, else from the hub.

    Raises:
        OSError: none is cached, and the hub cannot be asked or has none.
        WeightsError: it is not the file that is pinned or recorded.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    names = list(names)
    cached = (try_to_load_from_cache(repository, name, revision=revision) for name in names)
    path = next((Path(each) for each in cached if isinstance(each, str)), None)
    missing: OSError | None = None
    for name in names if path is None else ():
        try:
            path = Path(hf_hub_download(repository, name, revision=revision))
            break
        except LocalEntryNotFoundError:  # the hub cannot be asked
            raise
        except EntryNotFoundError as error:
            missing = FileNotFoundError(f"{repository} has no {name}: {first_line(error)}")
    if path is None:
        raise missing or FileNotFoundError(f"{repository} has none of {', '.join(names)}")
    commit = path.parent.name
    return HubFile(path, commit, verified(path, f"hf://{repository}@{commit}"))


def hub_files(
    source: str, revision: str | None = None, *, weights: bool = True, tokenizer: bool = True
) -> HubFiles:
    """The files of `source`, a local folder or a repository `owner/name`; see `local_folder`.

    Looks in the cache first and goes to the network only for what is not there.

    Args:
        weights: whether they are needed.
        tokenizer: whether it is needed.

    Raises:
        ArgumentError: a folder is given a revision.
        WeightsError: a file is missing; the message says which, from where, and how to bring it.
    """
    here = local_folder(source, revision)
    if here is not None:
        return _checked(here, source, None, weights, tokenizer)

    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        folder = Path(snapshot_download(source, revision=revision, local_files_only=True))
        found = _checked(folder, source, folder.name, weights, tokenizer)
    except HFValidationError as error:
        raise WeightsError(
            f"{source!r} is neither a folder here nor a repository name 'owner/name'"
        ) from error
    except (OSError, WeightsError) as cached:
        found = _downloaded(source, revision, weights, tokenizer, cached)
    return _verified(found, weights)


def local_folder(source: str, revision: str | None) -> Path | None:
    """The folder of this machine that `source` is, or None for a repository.

    A name with a revision is a repository's, whatever folder of that name is here.

    Raises:
        ArgumentError: it can only be a folder, and has a revision.
    """
    is_path = source.startswith(PATHS) or source.count("/") > 1
    if revision is not None and not is_path:
        return None
    try:
        folder = Path(source).expanduser()
        is_here = folder.is_dir()
    except (OSError, RuntimeError):  # a name too long for any file, or another user's home
        return None
    if is_here and revision is not None:
        raise ArgumentError(
            f"{source!r} is a folder, which has no revision {revision!r}; leave the revision out, or "
            "name a repository as owner/name"
        )
    return folder if is_here else None


def is_small(name: str) -> bool:
    """Whether a repository's file is of its config or tokenizer, and not weights."""
    return name == "config.json" or _TOKENIZER.fullmatch(name) is not None


def read_json(path: Path) -> dict[str, Any]:
    """A small JSON table of a repository.

    Raises:
        WeightsError: the file is damaged.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise WeightsError(f"{path}: holds no table")
    return data


def _downloaded(
    source: str, revision: str | None, weights: bool, tokenizer: bool, cached: Exception
) -> HubFiles:
    from huggingface_hub import HfApi, constants, snapshot_download

    try:
        listed = HfApi().model_info(source, revision=revision)
        names = [each.rfilename for each in listed.siblings or []]
        wanted = ["config.json", *filter(_TOKENIZER.fullmatch, names)]
        if weights:
            wanted += _weight_files(names)
        folder = Path(snapshot_download(source, revision=listed.sha, allow_patterns=wanted))
    except Exception as error:  # every kind of network trouble, from several libraries
        missing = str(cached) if isinstance(cached, WeightsError) else "nothing of it is cached"
        at = f" --revision {revision}" if revision else ""
        what = "" if weights else "the config and tokenizer of "
        random = "; or build with pretrained=False for random weights" if weights else ""
        raise WeightsError(
            f"{what}{source!r} cannot be loaded: {missing} (looked in {constants.HF_HUB_CACHE}), and the "
            f"hub cannot be asked: {first_line(error)}. With network, bring it by: "
            f"hf download {source}{at}{random}"
        ) from error
    return _checked(folder, source, listed.sha, weights, tokenizer)


def _checked(
    folder: Path, source: str, revision: str | None, weights: bool, tokenizer: bool
) -> HubFiles:
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    if "config.json" not in names:
        raise WeightsError(f"config.json of {source!r} is missing in {folder}")
    chosen = next((name for name in _WEIGHTS if name in names), None)
    if tokenizer and not any(_VOCABULARY.fullmatch(name) for name in names):
        raise WeightsError(f"the tokenizer of {source!r} is missing in {folder}")
    if weights and chosen is None:
        raise WeightsError(
            f"the weights of {source!r} are missing: none of "
            f"{', '.join(name for name in _WEIGHTS if 'index' not in name)} in {folder}"
        )
    if weights and chosen is not None and chosen.endswith(".index.json"):
        for name in sorted(set(weight_map(folder / chosen).values()) - set(names)):
            raise WeightsError(f"{name} of {source!r} is missing in {folder}")
    return HubFiles(folder, source, revision, chosen, None)


def _verified(files: HubFiles, weights: bool) -> HubFiles:
    """The same files: every one that is pinned is that one, and weights are as they were recorded."""
    source = f"hf://{files.repository}@{files.revision}"
    names = [path.relative_to(files.folder).as_posix() for path in files.folder.rglob("*")]
    for name in names:
        if is_small(name) and pin_of(source, name)[0]:
            verified(files.file(name), source, name)
    if not weights or files.weights is None:
        return files
    if files.weights.endswith(".index.json"):
        for path in weight_files(files):
            verified(path, source, path.name)
    return replace(files, sha256=verified(files.file(files.weights), source, files.weights))


def weight_map(path: Path) -> dict[str, str]:
    """Which file beside an index has which tensor.

    Raises:
        WeightsError: it is damaged, or names a file that is not beside it.
    """
    found = read_json(path).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise WeightsError(f"{path}: has no table weight_map, so it is no index of weights")
    for tensor, name in found.items():
        if not isinstance(name, str) or not name or name != Path(name).name:
            raise WeightsError(
                f"{path}: {tensor!r} is said to be in {name!r}, which is no file beside it"
            )
    return found


def weight_files(files: HubFiles) -> list[Path]:
    """The files with the tensors: one, or those that an index names.

    Raises:
        WeightsError: the index is damaged.
    """
    name = files.weights or ""
    names = set(weight_map(files.file(name)).values()) if name.endswith(".index.json") else {name}
    return [files.file(each) for each in sorted(names)]


def _weight_files(names: Iterable[str]) -> list[str]:
    """Safetensors if there are any, else the older pickle checkpoint; never both."""
    names = list(names)
    for pattern in (r"model(-\d+-of-\d+)?\.safetensors", r"pytorch_model(-\d+-of-\d+)?\.bin"):
        found = [name for name in names if re.fullmatch(pattern, name)]
        if found:
            index = pattern.split("(")[0] + (".safetensors" if "safe" in pattern else ".bin")
            return found + [name for name in names if name == f"{index}.index.json"]
    return []
