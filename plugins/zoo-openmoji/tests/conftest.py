"""The plugin alone, and one cache for its tests: pictures are rendered once."""

import pytest

from zoo.registry import catalog


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("openmoji-cache")


@pytest.fixture(autouse=True)
def _with_plugin(monkeypatch, cache):
    monkeypatch.setenv("ZOO_PLUGINS", "zoo-openmoji")
    monkeypatch.setenv("ZOO_CACHE", str(cache))
    catalog.cache_clear()
