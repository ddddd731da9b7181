"""Where zoo keeps what it can compute or fetch again, and what it must remember."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.errors import CacheError

__all__ = ["cache_folder", "data_folder", "features_folder"]


def cache_folder(*parts: str) -> Path:
    """A folder under `$ZOO_CACHE`, or under the user's cache folder; made if it is not there.

    Raises:
        CacheError: it cannot be made.
    """
    from platformdirs import user_cache_path

    root = os.environ.get("ZOO_CACHE")
    folder = (Path(root).expanduser() if root else user_cache_path("clip-zoo")).joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CacheError(
            f"{folder}: cannot be made: {error.strerror}. Set ZOO_CACHE to a folder that can be written"
        ) from error
    return folder


def features_folder() -> Path:
    """Where features of frozen encoders are kept, a folder for each key."""
    return cache_folder("features")


def data_folder(*parts: str) -> Path:
    """A folder under `$ZOO_DATA`, or under the user's data folder; it need not be there."""
    from platformdirs import user_data_path

    root = os.environ.get("ZOO_DATA")
    return (Path(root).expanduser() if root else user_data_path("clip-zoo")).joinpath(*parts)
