"""Checkpoints by URL, kept in torch hub's cache."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from urllib.parse import urlparse

from zoo.errors import WeightsError
from zoo.weights.download import download

__all__ = ["cached_checkpoint", "checkpoints_folder"]


def checkpoints_folder() -> Path:
    """Where torch hub keeps checkpoints, without an import of torch.

    Source: the documentation of `torch.hub.get_dir`.
    """
    if hub := sys.modules.get("torch.hub"):  # a program may have set another
        return Path(hub.get_dir(), "checkpoints")
    caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(caches, "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"


def cached_checkpoint(url: str) -> Path:
    """The local file for a checkpoint URL, downloaded on first use.

    A name such as `resnet50-11ad3fa6.pth` carries the start of its sha256, which a download must
    match before it appears in the cache. What it holds is for the caller to verify.

    Raises:
        WeightsError: it is not in the cache and cannot be downloaded, or the download differs.
    """
    folder = checkpoints_folder()
    path = folder / Path(urlparse(url).path).name
    if path.is_file():
        return path
    prefix = re.search(r"-([0-9a-f]{8,})\.", path.name)
    try:
        download(url, path, prefix[1] if prefix else None)
    except (WeightsError, OSError) as error:
        raise WeightsError(
            f"the weights file {path.name} is not in {folder} and cannot be downloaded from {url}: "
            f"{error}. Bring the file there from a machine with network, or build with "
            "pretrained=False for random weights"
        ) from error
    return path
