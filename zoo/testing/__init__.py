"""The conformance kit: named checks that say whether a component keeps to its contract."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.testing.case import Case, Check, CheckFailed, NotApplicable, Outcome, Verdict, run
    from zoo.testing.collect import cases_of_factory, cases_of_name, cases_of_plugin, checks_of

__all__ = [
    "Case",
    "Check",
    "CheckFailed",
    "NotApplicable",
    "Outcome",
    "Verdict",
    "cases_of_factory",
    "cases_of_name",
    "cases_of_plugin",
    "checks_of",
    "run",
]


def __getattr__(name: str) -> Any:
    """Lazy: pytest imports this package early in every run, for its plugin."""
    if name not in __all__:
        raise AttributeError(f"module 'zoo.testing' has no attribute {name!r}")
    collected = name == "checks_of" or name.startswith("cases_of")
    home = import_module("zoo.testing.collect" if collected else "zoo.testing.case")
    return getattr(home, name)
