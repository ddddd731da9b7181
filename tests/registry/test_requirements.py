"""A plugin says in its requirements which versions of zoo it works with."""

import sys

import pytest

from zoo.registry import catalog
from zoo.registry.requirements import refusal, zoo_version


@pytest.mark.parametrize(
    "requirement",
    [
        "clip-zoo",
        "clip_zoo >=0.0.1,<99",
        "Clip.Zoo[train]>=0.0.1",
        "clip-zoo>=99; extra == 'test'",
        "clip-zoo>=99; python_version < '3'",
        "clip-zoo @ https://example.org/clip_zoo-0.1-py3-none-any.whl",
        "clip-zoo-extras>=99",
        "torch >> 2",
        "",
    ],
)
def test_what_this_zoo_meets_or_does_not_concern_it(requirement):
    assert refusal([requirement], "zoo-x") == ""


@pytest.mark.parametrize(
    "requirement",
    ["clip-zoo>=99", "clip-zoo (<0.0.1)", "clip-zoo[train]>=99,<100; python_version > '3'"],
)
def test_outside_of_the_range(requirement):
    asked = requirement.partition(";")[0]
    assert refusal(["torch", requirement], "zoo-x") == (
        f"needs {asked}, and {zoo_version()} is installed; bring both up to date with: "
        "pip install -U clip-zoo zoo-x"
    )


@pytest.mark.parametrize("requirement", ["clip-zoo 0.5", "clip-zoo>>1", "clip-zoo>=1; nothing"])
def test_a_requirement_that_is_none(requirement):
    said = refusal([requirement], "zoo-x")
    assert said.startswith(f"its requirement {requirement!r} is not valid: ")


def test_nothing_of_a_plugin_for_another_zoo_is_imported(install):
    site = install("zoo-new", {"zoo.plugins": {"h": "new_hooks"}}, {"new_hooks.py": "1 / 0"})
    metadata = next(site.glob("*.dist-info/METADATA"))
    metadata.write_text(metadata.read_text() + "Requires-Dist: clip-zoo>=99\n")
    (failure,) = catalog().failures
    assert failure.reason.startswith("needs clip-zoo>=99, and ")
    assert failure.name == "requirement"
    assert "new_hooks" not in sys.modules
