"""`zoo check`: whether a spec file, a component, a model, a dataset or a whole plugin is right."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.console import err, out, overrides_from, print_json, table
from zoo.cli.options import AsJson, Overrides
from zoo.errors import WeightsError, ZooError

if TYPE_CHECKING:
    from zoo.testing import Case, Outcome

__all__ = ["check"]


def check(
    what: Annotated[
        str,
        typer.Argument(
            metavar="SPEC-FILE|NAME|plugin", help="A .toml or .json file, a name, or 'plugin'."
        ),
    ],
    distribution: Annotated[
        str | None, typer.Argument(metavar="[DIST]", help="After 'plugin': which one.")
    ] = None,
    changes: Overrides = None,
    only: Annotated[
        str | None, typer.Option(help="Only checks whose title has this in it, as 'export'.")
    ] = None,
    arg: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="An argument of the component's factory; may be repeated."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a spec file before anything is fetched; or run the conformance checks of a component,
    a model, a dataset, or of everything that an installed plugin adds."""
    from zoo.spec_layers import is_spec_file

    if (what == "plugin") != (distribution is not None):
        raise typer.BadParameter("write 'zoo check plugin DIST', or one name or file")
    if is_spec_file(what) or changes:
        if only or arg or as_json:
            raise typer.BadParameter("--only, --arg and --json are for conformance checks")
        _check_spec(what, changes)
        return
    if arg and distribution:
        raise typer.BadParameter("--arg is for one name; a plugin gives arguments in examples()")
    if any("=" not in each for each in arg or []):
        raise typer.BadParameter("write --arg KEY=VALUE, as in --arg hidden_dim=64")
    from zoo.testing import cases_of_name, cases_of_plugin

    if distribution is None:
        cases = cases_of_name(what, args=overrides_from(arg))
    else:
        cases = cases_of_plugin(distribution)
    chosen = [case for case in cases if only is None or only in case.title]
    if not chosen:
        known = sorted({case.check.name for case in cases})
        raise ZooError(f"no check has {only!r} in its title; the checks are {', '.join(known)}")
    outcomes = _run(chosen)
    if as_json:
        print_json({**_counts(outcomes), "outcomes": [each.as_json() for each in outcomes]})
    else:
        _print(outcomes)
    if all(each.verdict == "does not apply" for each in outcomes):
        raise ZooError(f"none of {len(outcomes)} checks applies: nothing was found out")
    if any(each.verdict == "failed" for each in outcomes):
        raise typer.Exit(1)


def _check_spec(spec: str, changes: list[str] | None) -> None:
    from huggingface_hub import constants

    from zoo.assembly import plan

    constants.HF_HUB_OFFLINE = True
    planned = plan(spec, overrides=overrides_from(changes))
    planned.check()
    try:
        planned.sketch()
    except WeightsError as error:
        print(f"{spec}: names and arguments are valid; sizes are not checked, because {error}")
        return
    print(f"{spec}: valid")


def _run(cases: list[Case]) -> list[Outcome]:
    from zoo.testing import run

    outcomes = []
    console = err()
    with console.status("") as status:
        for number, case in enumerate(cases, 1):
            status.update(f"{number} of {len(cases)}: {case.title}")
            outcomes.append(run(case))
    return outcomes


def _counts(outcomes: list[Outcome]) -> dict[str, int]:
    verdicts = Counter(each.verdict for each in outcomes)
    return {
        "checks": len(outcomes),
        "passed": verdicts["passed"],
        "failed": verdicts["failed"],
        "expected_failures": verdicts["expected failure"],
        "not_applicable": verdicts["does not apply"],
    }


def _print(outcomes: list[Outcome]) -> None:
    shown = table("component", "check", "seconds", "verdict", "")
    shown.columns[2].justify = "right"
    before = None
    for each in outcomes:
        subject = each.case.subject
        title = each.case.title.removesuffix(f": {each.case.check.name}")
        verdict = each.verdict.upper() if each.verdict == "failed" else each.verdict
        shown.add_row(
            "" if subject is before else title,
            each.case.check.name,
            f"{each.seconds:.2f}",
            verdict,
            each.message,
        )
        before = subject
    console = out()
    console.print(shown)
    counts = _counts(outcomes)
    seconds = sum(each.seconds for each in outcomes)
    console.print(
        f"\n{counts['checks']} checks in {seconds:.1f} s: {counts['passed']} passed, "
        f"{counts['failed']} failed, {counts['expected_failures']} failed as expected, "
        f"{counts['not_applicable']} do not apply"
    )
