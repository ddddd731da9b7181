"""`zoo search`: the pictures of a dataset that fit a text best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.console import err, out, print_json, table
from zoo.cli.options import AsJson

if TYPE_CHECKING:
    from zoo.search.gallery import Hit

__all__ = ["search", "search_and_draw"]


def search(
    folder: Annotated[Path, typer.Argument(help="A model that zoo train or zoo.save wrote.")],
    queries: Annotated[list[str], typer.Argument(help="What to look for, in words.")],
    data: Annotated[str, typer.Option(help="The dataset to search.")],
    split: Annotated[str | None, typer.Option(help="Only this split of it.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Matches a query.")] = 6,
    grid: Annotated[Path, typer.Option(help="The picture of the matches, a PNG.")] = Path(
        "search.png"
    ),
    as_json: AsJson = False,
) -> None:
    """Find the pictures that fit a text; print the matches and write them as a picture."""
    found = search_and_draw(folder, queries, data, split=split, count=count, grid=grid)
    if as_json:
        print_json(
            {
                query: [
                    {
                        "name": hit.pair.captions[0],
                        "score": round(hit.score, 4),
                        "picture": str(hit.pair.picture),
                    }
                    for hit in hits
                ]
                for query, hits in found.items()
            }
        )
        return
    for query, hits in found.items():
        shown = table(query, "score", "picture")
        for hit in hits:
            shown.add_row(hit.pair.captions[0], f"{hit.score:.3f}", str(hit.pair.picture))
        out().print(shown)
        out().print()
    err().print(f"wrote {grid}")


def search_and_draw(
    folder: Path, queries: list[str], data: str, *, split: str | None, count: int, grid: Path
) -> dict[str, list[Hit]]:
    """The matches of every query, which are also drawn."""
    from zoo.cli.progress import progress_bars
    from zoo.data.sources import open_dataset
    from zoo.folder import load
    from zoo.search.gallery import Gallery
    from zoo.search.grid import write_grid

    model = load(folder)
    dataset = open_dataset(data)
    pairs = dataset.split(split) if split else dataset.everything()
    with progress_bars() as (_, progress):
        gallery = Gallery(model, pairs, progress)
        found = {query: gallery.search(query, count) for query in queries}
    write_grid(list(found.items()), grid, footer=dataset.attribution)
    return found
