"""`zoo cache`: what weights take, whether they are whole, and what can go."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.console import err, out, print_json, table
from zoo.cli.options import AsJson
from zoo.errors import WeightsError

if TYPE_CHECKING:
    from zoo.weights.stored import Kept

__all__ = ["cache"]

cache = typer.Typer(help="Show, verify and prune what weights take.", no_args_is_help=True)


@cache.command("list")
def list_kept(as_json: AsJson = False) -> None:
    """List cached weights and computed files: size, last use, and how their content is known."""
    from zoo.weights.stored import kept

    _print_kept(kept(), as_json, "nothing is cached")


@cache.command()
def size(as_json: AsJson = False) -> None:
    """Show how much each cache takes."""
    from zoo.weights.stored import kept

    sizes: dict[str, int] = {}
    for each in kept():
        sizes[each.cache] = sizes.get(each.cache, 0) + each.size
    sizes["total"] = sum(sizes.values())
    if as_json:
        print_json(sizes)
        return
    shown = table("cache", "size")
    for name, number in sizes.items():
        shown.add_row(name, _bytes(number))
    out().print(shown)


@cache.command()
def verify(as_json: AsJson = False) -> None:
    """Read every recorded file again and compare it with its pin or record; 1 if one changed."""
    from zoo.weights.stored import verdicts

    found = []
    for record, verdict in verdicts():
        found.append((record, verdict))
        if not as_json:
            out().print(f"{verdict:<8}{record.source}  {record.file}", soft_wrap=True)
    if as_json:
        print_json([{**asdict(record), "verdict": verdict} for record, verdict in found])
    elif not found:
        out().print("no file is recorded yet")
    changed = [record.path for record, verdict in found if verdict == "changed"]
    if changed:
        raise WeightsError(
            f"{', '.join(changed)}: changed since pinned or recorded. Delete what is damaged and let "
            "it be fetched again"
        )


@cache.command()
def prune(
    days: Annotated[
        float, typer.Option("--older-than", metavar="DAYS", help="What was not used for so long.")
    ] = 90.0,
    dry_run: Annotated[bool, typer.Option(help="Only show what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what zoo fetched or computed and has not used; never what other programs share.

    zoo's downloads that broke off go too, those that go on do not. All else in the caches of the hub
    and of torch hub is left alone: see `hf cache`.
    """
    from zoo.weights.stored import prunable, remove

    found = [each for each in prunable(days) if dry_run or remove(each)]
    _print_kept(found, as_json, "nothing to remove")
    if found and not as_json:
        err().print("would be removed" if dry_run else "removed")


@cache.command()
def forget(
    source: Annotated[
        str, typer.Argument(help="As `zoo cache verify` shows it, or a file's path.")
    ],
) -> None:
    """Forget what a source's files were, so that the next reading records them afresh."""
    from zoo.weights.record import forget as forget_records

    gone = forget_records(source)
    if not gone:
        raise WeightsError(f"nothing is recorded of {source!r}; zoo cache verify lists what is")
    for record in gone:
        out().print(f"forgot {record.source}  {record.file}", soft_wrap=True)


def _print_kept(found: list[Kept], as_json: bool, none: str) -> None:
    if as_json:
        print_json([_as_json(each) for each in found])
        return
    shown = table("name", "cache", "size", "last used", "content")
    shown.columns[2].justify = "right"
    for each in found:
        day = time.strftime("%Y-%m-%d", time.localtime(each.used))
        shown.add_row(each.name, each.cache, _bytes(each.size), day, each.check)
    if found:
        shown.add_row("total", "", _bytes(sum(each.size for each in found)), "", "")
    out().print(shown if found else none)


def _as_json(each: Kept) -> dict[str, Any]:
    return {**asdict(each), "path": str(each.path)}


def _bytes(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"
