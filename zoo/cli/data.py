"""`zoo data inspect`: what a dataset holds, before anybody trains on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.console import err, out, print_json, table
from zoo.cli.options import AsJson
from zoo.errors import TowerError

if TYPE_CHECKING:
    from zoo.data.inspect import Inspection

__all__ = ["data"]

data = typer.Typer(help="Look at datasets.", no_args_is_help=True)

_SHOWN = 5


@data.callback()
def _verbs() -> None:
    """Look at datasets."""


@data.command()
def inspect(
    source: Annotated[
        str, typer.Argument(help="A file, a folder, hub:owner/name, or a dataset's name.")
    ],
    image_column: Annotated[str | None, typer.Option(help="The column of the pictures.")] = None,
    caption_column: Annotated[str | None, typer.Option(help="The column of captions.")] = None,
    images: Annotated[Path | None, typer.Option(help="What paths are relative to.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A saved model, by whose tokenizer captions are measured.")
    ] = None,
    samples: Annotated[Path | None, typer.Option(help="A PNG to write with samples.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show counts, sizes, caption lengths, duplicates, and pictures that cannot be read."""
    from zoo.cli.progress import progress_bars
    from zoo.data.columns import Columns
    from zoo.data.inspect import inspect_dataset, write_samples
    from zoo.data.sources import open_dataset

    dataset = open_dataset(source, Columns(image_column, caption_column), images=images)
    text: Any = None
    if model is not None:
        from zoo.folder import load

        opened = load(model)
        if opened.text_encoder is None:
            raise TowerError(f"{model}: the model has no text tower, by which to count tokens")
        text = opened.text_encoder.encoder
    with progress_bars() as (_, progress):
        found = inspect_dataset(
            dataset,
            tokenizer=text and text.tokenizer,
            context_length=text and text.context_length,
            progress=progress,
        )
    if samples is not None:
        write_samples(dataset, samples)
        err().print(f"samples  {samples}")
    if as_json:
        print_json(found.as_json())
    else:
        _print(found)


def _print(found: Inspection) -> None:
    console = out()
    counts = table("split", "pictures", "captions", "concepts")
    for name, split in found.splits.items():
        counts.add_row(name, f"{split.pictures:,}", f"{split.captions:,}", f"{split.concepts:,}")
    console.print(counts)
    ranges = table("least / median / most", "")
    for title, value in (
        ("width, pixels", found.width),
        ("height, pixels", found.height),
        ("captions a picture", found.captions_per_picture),
        ("caption, characters", found.characters),
        ("caption, words", found.words),
        ("caption, tokens", found.tokens),
    ):
        if value is not None:
            ranges.add_row(title, str(value))
    console.print(ranges)
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in found.formats.items())
    console.print(f"formats: {kinds or 'none'}")
    for note in found.notes:
        console.print(note)
    if found.cut:
        console.print(f"{found.cut:,} captions fill the model's context or are cut by it")
    _list(
        f"{len(found.same_pictures)} pictures lie there more than once"
        + (f", {found.across_splits} of them in several splits" if found.across_splits else ""),
        [" = ".join(group) for group in found.same_pictures],
    )
    _list(
        f"{len(found.same_captions)} captions belong to several pictures",
        [f"{count} times: {text}" for text, count in found.same_captions.items()],
    )
    _list(f"{len(found.unreadable)} pictures cannot be read", list(found.unreadable))


def _list(title: str, lines: list[str]) -> None:
    if not lines:
        return
    more = len(lines) - _SHOWN
    out().print(f"{title}:")
    for line in lines[:_SHOWN]:
        out().print(f"  {line}", soft_wrap=True)
    if more > 0:
        out().print(f"  and {more:,} more (--json lists them)")
