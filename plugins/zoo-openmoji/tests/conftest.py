"""The plugin alone, and one cache for its tests: pictures are rendered once."""

import os
from pathlib import Path

import pytest

from zoo.registry import catalog


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """One for all workers; or one in which pictures are already: `ZOO_TEST_CACHE`."""
    if given := os.environ.get("ZOO_TEST_CACHE"):
        return Path(given)
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # its own is a folder in that of all workers
        base = base.parent
    folder = base / "openmoji-cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(autouse=True)
def _with_plugin(monkeypatch, cache):
    monkeypatch.setenv("ZOO_PLUGINS", "zoo-openmoji")
    monkeypatch.setenv("ZOO_CACHE", str(cache))
    catalog.cache_clear()
