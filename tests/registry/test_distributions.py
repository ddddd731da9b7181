"""A distribution that is on the path more than once."""

import sys

import pytest
from registry.menagerie import distribution

import zoo
from zoo.registry import catalog

FILES = {"twin.py": "def create(*, weights=None): ..."}
ENTRIES = {"zoo.image_encoders": {"mine": "twin:create"}}


@pytest.fixture
def copies(tmp_path, monkeypatch):
    """Puts folders with copies on the path, the last one in front."""
    monkeypatch.delenv("ZOO_PLUGINS")

    def put(*writers) -> None:
        for number, write in enumerate(writers):
            for path in write(tmp_path / str(number)):
                monkeypatch.syspath_prepend(path)
        catalog.cache_clear()

    return put


def test_the_first_on_the_path_counts_and_the_other_is_reported(copies, tmp_path):
    copies(
        distribution("zoo-twin", {"zoo.image_encoders": {"gone": "twin:create"}}, FILES),
        distribution("Zoo_Twin", ENTRIES, FILES, version="2.0"),
    )
    assert zoo.available("image_encoders", "Zoo_Twin/*") == ["mine"]
    assert catalog().find("image_encoders", "zoo-twin/mine").component.origin.version == "2.0"
    (failure,) = catalog().failures
    assert str(failure.origin) == "zoo-twin 1.0"
    assert failure.reason == (
        f"a second copy, version 1.0 at {tmp_path / '0' / 'zoo_twin-1.0.dist-info'}, is hidden by "
        f"version 2.0 at {tmp_path / '1' / 'Zoo_Twin-2.0.dist-info'}; remove both with pip uninstall "
        "Zoo_Twin (twice), and install the one you want"
    )


def test_a_copy_that_says_the_same_is_no_failure(copies, monkeypatch):
    copies(distribution("zoo-twin", ENTRIES, FILES), distribution("zoo-twin", ENTRIES, FILES))
    assert catalog().failures == ()
    monkeypatch.setattr(sys, "path", [*sys.path, f"{sys.path[0]}/../0/."])  # one folder, two ways
    catalog.cache_clear()
    assert catalog().failures == ()
    assert zoo.available("image_encoders", "mine") == ["mine"]


def test_a_copy_of_a_plugin_that_is_not_allowed_is_not_reported(copies, monkeypatch):
    copies(
        distribution("zoo-twin", ENTRIES, FILES),
        distribution("zoo-twin", ENTRIES, FILES, version="2.0"),
    )
    monkeypatch.setenv("ZOO_PLUGINS", "")
    assert catalog().failures == ()


def test_a_finder_that_cannot_list_distributions(copies, monkeypatch):
    class Broken:
        def find_distributions(self, context):
            raise RuntimeError

        def find_spec(self, *_): ...

    copies(distribution("zoo-twin", ENTRIES, FILES))
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    assert zoo.available("image_encoders", "mine") == ["mine"]
