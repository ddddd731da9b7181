"""`zoo quickstart`: from nothing to a trained model and its first search results."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.console import err
from zoo.errors import FolderError, UnknownNameError
from zoo.registry import catalog

__all__ = ["quickstart"]

MODEL, DATA = "starter-clip", "openmoji"
QUERIES = ["a slice of pizza", "a wild animal", "something to drink", "bad weather"]


def quickstart(
    folder: Annotated[Path, typer.Argument(help="Of the run, and of the picture.")] = Path(
        "zoo-quickstart"
    ),
    overwrite: Annotated[bool, typer.Option(help="Replace a run that is there.")] = False,
) -> None:
    """Train starter-clip on OpenMoji, search with it, and draw what it found. Under three minutes."""
    from zoo.cli.search import search_and_draw
    from zoo.cli.train_and_save import train_and_save
    from zoo.training.run_folder import RunFolder

    started = time.perf_counter()
    for kind, name, plugin in (
        ("models", MODEL, "zoo-starter"),
        ("datasets", DATA, "zoo-openmoji"),
    ):
        try:
            catalog().find(kind, name)  # type: ignore[arg-type]
        except UnknownNameError as error:
            raise UnknownNameError(
                f"quickstart needs {name!r} of the plugin {plugin}: pip install ./plugins/{plugin}. "
                f"({error})"
            ) from error
    run, picture = RunFolder(folder), folder / "search.png"
    if run.holds_run and not overwrite:
        raise FolderError(
            f"{folder}: holds a run already; replace it by --overwrite, or choose another folder: "
            "zoo quickstart FOLDER"
        )
    train_and_save(MODEL, DATA, folder, overwrite=overwrite)
    model = run.model
    search_and_draw(model, QUERIES, DATA, split=None, count=6, grid=picture)
    console = err()
    console.print(f"\n{picture} shows the best matches for {', '.join(map(repr, QUERIES))}")
    console.print(f"done in {time.perf_counter() - started:.0f} s; now try:")
    console.print(f'  zoo search {model} --data {DATA} "a birthday party"')
