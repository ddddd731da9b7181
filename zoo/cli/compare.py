"""`zoo compare`: many models trained and judged in one way, from a grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.console import err, out, overrides_from, print_json, table, values_from
from zoo.cli.options import AsJson, Overrides
from zoo.errors import SpecError

if TYPE_CHECKING:
    from zoo.comparison.grid import Grid
    from zoo.comparison.summary import Summary

__all__ = ["compare"]

_STOPPED = 130


def compare(
    grid: Annotated[
        str, typer.Argument(help="A grid (.toml); or a model or spec, with what --vary varies.")
    ],
    data: Annotated[
        str | None, typer.Option(help="As for zoo train; when not given, the grid's.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Where results go; runs/GRID-comparison.")
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH=A,B",
            help="An axis, as in --vary image.head=linear,mlp-gelu. May be repeated.",
        ),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="As in 0,1,2; 0 when not given.")] = None,
    changes: Overrides = None,
    metric: Annotated[
        str, typer.Option(help="What ranks: image_to_text or text_to_image, .recall@K or .map.")
    ] = "image_to_text.recall@1",
    image_column: Annotated[str | None, typer.Option(help="Of pictures, in a table.")] = None,
    caption_column: Annotated[str | None, typer.Option(help="Of captions, in a table.")] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of a table's pictures, if not its own.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, …")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Train every combination with every seed, rank them, and say which differences hold.

    What is finished is kept in the folder: the same command again runs only what is missing, and a
    changed grid takes over the cells that stayed the same. --set changes all models.
    """
    from zoo.comparison.cells import resolve_cells
    from zoo.comparison.metric import Metric

    source, said = _grid(grid, vary, seeds, overrides_from(changes))
    Metric.of(metric)
    wanted = data or said.data
    if wanted is None:
        raise SpecError(f"{source}: which data? Give --data, or write data = … into the grid")
    console = err()
    with console.status("checking every cell"):
        cells = resolve_cells(said, source)
    place = folder or Path("runs", f"{Path(grid).stem}-comparison")
    if place.exists() and not place.is_dir():
        raise SpecError(f"{place}: not a folder, and results go into one")

    from zoo.cli.board import Board
    from zoo.comparison.markdown import to_markdown
    from zoo.comparison.page import to_html
    from zoo.comparison.ranking import summarise
    from zoo.comparison.results import ResultFolder
    from zoo.comparison.run import run_cells
    from zoo.comparison.tables import failures
    from zoo.data.columns import Columns
    from zoo.data.sources import open_dataset
    from zoo.folder.swap import write_whole

    with console.status(f"loading the dataset {wanted}"):
        dataset = open_dataset(
            wanted, Columns(image=image_column, caption=caption_column), images=images
        )
    console.print(f"data    {dataset.name}: {dataset.attribution}; licence {dataset.licence}")
    for note in dataset.notes:
        console.print(f"data    {note}")
    with Board(cells, metric) as board:
        try:
            results = run_cells(
                cells,
                dataset,
                ResultFolder(place / "cells"),
                device=device,
                progress=board.progress,
                watch=board.watch,
            )
        except KeyboardInterrupt:
            board.say(
                f"stopped: {board.finished} of {len(cells)} cells are finished and kept in {place}; "
                "the same command goes on from there"
            )
            raise typer.Exit(_STOPPED) from None
    summary = summarise(
        cells,
        results,
        base=said.base,
        data={
            "name": dataset.name,
            "licence": dataset.licence,
            "attribution": dataset.attribution,
        },
        metric=metric,
    )
    write_whole(place / "results.json", summary.model_dump_json(indent=1) + "\n")
    write_whole(place / "results.md", to_markdown(summary))
    write_whole(place / "report.html", to_html(summary, cells))
    if as_json:
        print_json(summary.model_dump(mode="json"))
    else:
        _print(summary)
    names = ", ".join(f"results.{each}" for each in ("json", "md"))
    console.print(f"wrote   {names} and report.html in {place}")
    if summary.failed:
        failed = "\n".join(f"  {cell}: {error}" for cell, error in failures(summary))
        console.print(
            f"error: {len(summary.failed)} of {len(cells)} cells failed; the same command tries them "
            f"again:\n{failed}"
        )
        raise typer.Exit(1)


def _grid(
    said: str, vary: list[str] | None, seeds: str | None, changes: dict[str, Any]
) -> tuple[str, Grid]:
    """The grid that is meant, and what it is called in messages."""
    from zoo.comparison.grid import grid_of, is_grid_file, read_grid

    given: dict[str, Any] = {"base": said}
    if is_grid_file(said):
        given = read_grid(Path(said)).model_dump()
    axes: dict[str, Any] = {}
    for pair in vary or []:
        path, equals, values = pair.partition("=")
        if not equals or not path.strip():
            raise SpecError(
                f"--vary {pair!r}: write PATH=A,B as in --vary image.head=linear,mlp-gelu"
            )
        axes[path.strip()] = values_from(values)
    given["grid"] = {**given.get("grid", {}), **axes}
    given["set"] = {**given.get("set", {}), **changes}
    if seeds is not None:
        given["seeds"] = values_from(seeds)
    return said, grid_of(given, said)


def _print(summary: Summary) -> None:
    from zoo.comparison.markdown import method
    from zoo.comparison.tables import Table, axis, ranking

    console = out()

    def show(found: Table, names: int = 0) -> None:
        shown = table(*found.columns)
        for number, column in enumerate(shown.columns):
            column.no_wrap = number != names
        for row in found.rows:
            shown.add_row(*row)
        console.print(shown)
        console.print()

    if not summary.entries:
        console.print("no cell has a result")
        return
    show(ranking(summary).without("pairs/s", "parameters", "GFLOP"), names=1)
    for name, levels in summary.axes.items():
        show(axis(name, levels))
    console.print(method(summary))
