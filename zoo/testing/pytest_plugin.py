"""The pytest plugin: one test for each check of each component of a plugin.

@pytest.mark.zoo_plugin("my-plugin")
def test_conformance(zoo_check):
    zoo_check()
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # imported by every pytest run beside which clip-zoo is installed: stays light
    from zoo.testing.case import Case

__all__ = ["pytest_configure", "pytest_generate_tests", "zoo_check"]

MARKER = (
    "zoo_plugin(distribution, examples={}, expected={}): for a test that takes the fixture zoo_check; "
    "one test for each conformance check of each component of an installed plugin of clip-zoo. "
    "examples: component to what to check of it, names or tables with args; expected: titles of tests "
    "to why they fail, besides the components' own expected_failures."
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "zoo_check" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("zoo_plugin")
    if marker is None or len(marker.args) != 1:
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid} takes zoo_check and does not say of which plugin; mark it "
            'with @pytest.mark.zoo_plugin("NAME-OF-THE-DISTRIBUTION")'
        )
    from zoo.errors import ZooError
    from zoo.testing.collect import cases_of_plugin

    try:
        cases = cases_of_plugin(*marker.args, **marker.kwargs)
    except (ZooError, TypeError) as error:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: {error}") from error
    metafunc.parametrize("zoo_check", cases, ids=[case.title for case in cases], indirect=True)


@pytest.fixture
def zoo_check(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Runs one check: passes, fails with its message, or skips with why it does not apply."""
    case: Case = request.param

    def check() -> None:
        from zoo.testing.case import run

        outcome = run(case)
        if outcome.verdict == "failed":
            pytest.fail(f"{case.title}: {outcome.message}\n({case.check.what})", pytrace=False)
        if outcome.verdict == "expected failure":
            pytest.xfail(outcome.message)
        if outcome.verdict == "does not apply":
            pytest.skip(outcome.message)

    return check
