"""Checkpoints by URL, kept in torch hub's cache."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlparse

from zoo.errors import WeightsError
from zoo.weights.download import download

__all__ = ["cached_checkpoint"]


def cached_checkpoint(url: str) -> Path:
    """The local file for a checkpoint URL, downloaded on first use.

    A name such as `resnet50-11ad3fa6.pth` carries the start of its sha256, which a download must
    match before it appears in the cache. What it holds is for the caller to verify.

    Raises:
        WeightsError: it is not in the cache and cannot be downloaded, or the download differs.
    """
    import torch

    folder = Path(torch.hub.get_dir()) / "checkpoints"
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
