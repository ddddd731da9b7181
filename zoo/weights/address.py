"""Weights by address in place of a tag: `hf://owner/name@revision`, `file:PATH`, `https://…#sha256=…`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

from zoo.cache import cache_folder
from zoo.errors import WeightsError, first_line
from zoo.weights.download import download
from zoo.weights.hub import hub_file
from zoo.weights.record import verified
from zoo.weights.source import WeightsSource, is_address

__all__ = ["Address", "address_of", "downloads_folder", "fetched"]

_REPOSITORY = re.compile(r"\b[\w.-]+\b/\b[\w.-]{1,96}\b")  # as the hub has them
_NOT_IN_NAMES = re.compile(r"\.\.|--|\.git$")
_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class Address:
    """Where weights are.

    Args:
        place: `owner/name`, a path, or a URL.
        revision: of a repository, where given.
        sha256: of what a URL serves.
    """

    kind: Literal["hf", "file", "https"]
    place: str
    revision: str | None = None
    sha256: str | None = None


def address_of(weights: str | None) -> Address | None:
    """The address that `weights` is; None for a tag.

    Raises:
        WeightsError: it begins like an address and is none.
    """
    if weights is None or not is_address(weights):
        return None
    if weights.startswith("file:"):
        path = unquote(weights.removeprefix("file:").removeprefix("//"))
        if not path:
            raise WeightsError(f"weights {weights!r}: write file:PATH")
        return Address("file", path)
    if weights.startswith("hf://"):
        repository, _, revision = weights.removeprefix("hf://").partition("@")
        valid = _REPOSITORY.fullmatch(repository) and not _NOT_IN_NAMES.search(repository)
        if not valid or ".." in revision:
            raise WeightsError(
                f"weights {weights!r}: write hf://owner/name or hf://owner/name@revision"
            )
        return Address("hf", repository, revision or None)
    url, _, fragment = weights.partition("#")
    found = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", fragment)
    if found is None or not weights.startswith("https://") or not _name_of(url):
        raise WeightsError(
            f"weights {weights!r}: write https://host/file#sha256=…, with all 64 digits, so that what "
            "is served can be verified"
        )
    return Address("https", url, sha256=found[1].lower())


def fetched(address: Address) -> tuple[Path, WeightsSource]:
    """The weights file of an address, here and verified, and where it came from.

    Raises:
        WeightsError: it is missing, cannot be fetched, or is another file than it was.
    """
    if address.kind == "file":
        path = Path(address.place).expanduser().resolve()
        if not path.is_file():
            raise WeightsError(f"{path}: there is no such weights file")
        return path, WeightsSource(f"file:{quote(str(path))}", path.as_uri(), path.name)
    if address.kind == "hf":
        try:
            found = hub_file(address.place, _FILES, address.revision)
        except OSError as error:
            at = f" --revision {address.revision}" if address.revision else ""
            raise WeightsError(
                f"{' or '.join(_FILES)} of {address.place!r} is not cached and cannot be fetched: "
                f"{first_line(error)}. With network, bring it by: "
                f"hf download {address.place}{at}"
            ) from error
        tag = f"hf://{address.place}@{found.revision}"
        name = found.path.name
        return found.path, WeightsSource(tag, address.place, name, found.revision, found.sha256)
    name, sha256 = _name_of(address.place), str(address.sha256)
    path = download(address.place, downloads_folder() / f"{sha256[:16]}-{name}", sha256)
    if verified(path, address.place) != sha256:
        raise WeightsError(
            f"{path}: not the file meant by {address.place}: it was changed after it was fetched. "
            "Delete it and let it be fetched again"
        )
    tag = f"{address.place}#sha256={sha256}"
    return path, WeightsSource(tag, address.place, name, sha256=sha256)


def downloads_folder() -> Path:
    """Where files by URL are kept."""
    return cache_folder("weights")


def _name_of(url: str) -> str:
    """The file's name; empty for what is no URL."""
    try:
        return Path(unquote(urlsplit(url).path)).name
    except ValueError:
        return ""
