"""A check, what it is run on, and what comes out."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from zoo.registry import Kind, describe

__all__ = [
    "Case",
    "Check",
    "CheckFailed",
    "NotApplicable",
    "Outcome",
    "Subject",
    "Verdict",
    "checks",
    "require",
    "run",
]

Verdict = Literal["passed", "failed", "expected failure", "does not apply"]


class CheckFailed(AssertionError):
    """The component does not keep to the contract; the message says how."""


class NotApplicable(Exception):
    """The check is about something that this component does not offer; the message says what."""


class Subject(Protocol):
    """What a check is run on."""

    @property
    def kind(self) -> Kind | Literal["plugin"]: ...

    @property
    def name(self) -> str: ...

    def expected_failures(self) -> Mapping[str, str]:
        """Check names to the reasons why they are known to fail."""
        ...


@dataclass(frozen=True)
class Check:
    """A named property of the contract; its function raises `CheckFailed` where it does not hold."""

    name: str
    what: str
    function: Callable[[Any], None]

    @property
    def depends_on_torch(self) -> bool:
        """Whether what fails on one machine may pass on another: an excuse may be idle then."""
        return self.name in ("export", "device")


@dataclass(frozen=True, eq=False)
class Case:
    """One check on one component, model, dataset or plugin."""

    subject: Subject
    check: Check
    expected: str | None = None
    """Why it is known to fail, where the caller says so rather than the component."""

    @property
    def title(self) -> str:
        kind = self.subject.kind
        return (
            f"{kind if kind == 'plugin' else describe(kind)} {self.subject.name}: {self.check.name}"
        )


@dataclass(frozen=True)
class Outcome:
    """What came of one case."""

    case: Case
    verdict: Verdict
    seconds: float
    message: str = ""
    error: BaseException | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.case.subject.kind,
            "name": self.case.subject.name,
            "check": self.case.check.name,
            "what": self.case.check.what,
            "verdict": self.verdict,
            "seconds": round(self.seconds, 3),
            "message": self.message,
        }


def checks(functions: Iterable[Callable[[Any], None]]) -> tuple[Check, ...]:
    """Checks by their functions: `batch_sizes` is called `batch-sizes`, its docstring says what it is."""
    return tuple(
        Check(each.__name__.replace("_", "-"), (each.__doc__ or "").splitlines()[0], each)
        for each in functions
    )


def require(holds: bool, message: str) -> None:
    """Raise `CheckFailed` with the message if something does not hold."""
    if not holds:
        raise CheckFailed(message)


def run(case: Case) -> Outcome:
    """Run one case, with torch seeded alike each time and warnings ignored.

    An expected failure needs a reason in words, and must fail: what passes needs no excuse. Only of
    `export` and `device`, where much depends on torch's version, may an excuse be idle.
    """
    import torch

    start = time.perf_counter()
    error: BaseException | None = None
    verdict: Verdict = "passed"
    message = ""
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        try:
            case.check.function(case.subject)
        except NotApplicable as fault:
            verdict, message = "does not apply", str(fault)
        except CheckFailed as fault:
            verdict, message, error = "failed", str(fault), fault
        except (Exception, SystemExit) as fault:
            verdict, message, error = "failed", f"{type(fault).__name__}: {fault}", fault
    try:
        reason = case.expected or case.subject.expected_failures().get(case.check.name)
    except Exception:  # it cannot be built, and the failure above says so
        reason = None
    if reason is not None and not reason.strip():
        verdict, message = "failed", "an expected failure needs a reason in words"
    elif reason is not None and verdict == "failed":
        verdict, message = "expected failure", f"{reason} ({message})"
    elif reason is not None and verdict == "passed" and not case.check.depends_on_torch:
        verdict, message = "failed", f"it passes, and should not be declared to fail: {reason}"
    return Outcome(case, verdict, time.perf_counter() - start, message, error)
