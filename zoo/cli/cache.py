"""`zoo cache`: what weights and features take, whether they are whole, and what can go."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.console import err, out, print_json, table
from zoo.cli.options import AsJson
from zoo.errors import CacheError, WeightsError

if TYPE_CHECKING:
    from zoo.training.room import FeatureFolder
    from zoo.weights.stored import Kept

__all__ = ["cache"]

cache = typer.Typer(
    help="Show, verify and prune what weights and features take.", no_args_is_help=True
)


@cache.command("list")
def list_kept(as_json: AsJson = False) -> None:
    """List cached weights and computed files: size, last use, and how their content is known."""
    _print_kept(_kept(), as_json, "nothing is cached")


@cache.command()
def features(as_json: AsJson = False) -> None:
    """List the features of frozen encoders: what computed them, rows, size, last use, and the limit."""
    from zoo.training.room import folders, limit

    found, allowed = folders(), limit()
    taken = sum(each.size for each in found)
    if as_json:
        listed = [
            {
                "key": each.key,
                "path": str(each.path),
                "rows": each.rows(),
                "size": each.size,
                "used": each.used,
                "in_use": each.in_use,
                "about": each.about,
            }
            for each in found
        ]
        print_json({"features": listed, "size": taken, "limit": allowed})
        return
    shown = table("features of", "rows", "size", "last used")
    shown.columns[2].justify = "right"
    for each in found:
        when = "in use" if each.in_use else _day(each.used)
        shown.add_row(each.title, f"{each.rows():,}", _bytes(each.size), when)
    out().print(shown if found else "no features are kept")
    out().print(f"{_bytes(taken)} of the {_bytes(allowed)} that they may take (ZOO_CACHE_LIMIT)")


@cache.command()
def size(as_json: AsJson = False) -> None:
    """Show how much each cache takes."""
    sizes: dict[str, int] = {}
    for each in _kept():
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
    """Read every recorded file again and compare it with its pin or record; 1 if one changed.

    Features too: a damaged file of them does no harm, since it is computed again when it is needed.
    """
    from zoo.training.store import damaged_shards
    from zoo.weights.stored import verdicts

    found = []
    for record, verdict in verdicts():
        found.append((record, verdict))
        if not as_json:
            out().print(f"{verdict:<8}{record.source}  {record.file}", soft_wrap=True)
    shards = []
    for path, fault in damaged_shards():
        shards.append(
            {"path": str(path), "verdict": "changed" if fault else "same", "fault": fault}
        )
        if not as_json:
            line = f"{shards[-1]['verdict']:<8}features  {path}"
            out().print(f"{line}: {fault}" if fault else line, soft_wrap=True)
    if as_json:
        weights = [{**asdict(record), "verdict": verdict} for record, verdict in found]
        print_json([*weights, *shards])
    elif not found and not shards:
        out().print("no file is recorded yet")
    changed = [record.path for record, verdict in found if verdict == "changed"]
    if changed:
        raise WeightsError(
            f"{', '.join(changed)}: changed since pinned or recorded. Delete what is damaged and let "
            "it be fetched again"
        )
    damaged = [str(each["path"]) for each in shards if each["fault"]]
    if damaged:
        raise CacheError(
            f"{', '.join(damaged)}: damaged. The next run that needs one discards it and computes "
            "it again"
        )


def _number_of_days(said: float) -> float:
    if not 0 <= said < math.inf:
        raise typer.BadParameter(f"a number of days is 0 or more, not {said}")
    return said


@cache.command()
def prune(
    days: Annotated[
        float,
        typer.Option(
            "--older-than",
            metavar="DAYS",
            help="What was not used for so long.",
            callback=_number_of_days,
        ),
    ] = 90.0,
    dry_run: Annotated[bool, typer.Option(help="Only show what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what zoo fetched or computed and has not used; never what other programs share.

    zoo's downloads that broke off go too, those that go on do not; nor do features that a running
    process uses. All else in the caches of the hub
    and of torch hub is left alone: see `hf cache`.
    """
    from zoo.training.room import prune as prunable_features
    from zoo.training.room import remove_old
    from zoo.weights.stored import prunable, remove

    found = [each for each in prunable(days) if dry_run or remove(each)]
    for folder in prunable_features(days):
        if dry_run or remove_old(folder):
            found.append(_as_kept(folder))
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


def _kept() -> list[Kept]:
    from zoo.training.room import folders
    from zoo.weights.stored import kept

    return [*kept(), *map(_as_kept, folders())]


def _as_kept(folder: FeatureFolder) -> Kept:
    from zoo.weights.stored import Kept

    return Kept("features", folder.title, folder.path, folder.size, folder.used, "recorded")


def _print_kept(found: list[Kept], as_json: bool, none: str) -> None:
    if as_json:
        print_json([_as_json(each) for each in found])
        return
    shown = table("name", "cache", "size", "last used", "content")
    shown.columns[2].justify = "right"
    for each in found:
        shown.add_row(each.name, each.cache, _bytes(each.size), _day(each.used), each.check)
    if found:
        shown.add_row("total", "", _bytes(sum(each.size for each in found)), "", "")
    out().print(shown if found else none)


def _as_json(each: Kept) -> dict[str, Any]:
    return {**asdict(each), "path": str(each.path)}


def _day(when: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(when))


def _bytes(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"
