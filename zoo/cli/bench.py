"""`zoo bench`: how fast each stage of a training is here, and which one bounds it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.console import err, out, overrides_from, print_json, table
from zoo.cli.options import AsJson, Overrides

__all__ = ["bench"]


def bench(
    model: Annotated[str, typer.Argument(help="A named model, or a .toml or .json spec.")],
    data: Annotated[
        str, typer.Option(help="A folder, table, COCO file, shards, hub:owner/name, or a dataset.")
    ],
    recipe: Annotated[
        Path | None,
        typer.Option(help="A .toml or .json file with a table \\[train], over the model's own."),
    ] = None,
    changes: Overrides = None,
    image_column: Annotated[str | None, typer.Option(help="Of pictures, in a table.")] = None,
    caption_column: Annotated[str | None, typer.Option(help="Of captions, in a table.")] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of a table's pictures, if not its own.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps to time.")] = 3,
    device: Annotated[str, typer.Option(help="cpu, cuda, …")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Time each stage of training this model on this data on this machine, and say what bounds it."""
    from zoo.assembly import plan

    planned = plan(model, recipe=recipe, overrides=overrides_from(changes))
    planned.check()

    from zoo.data.columns import Columns
    from zoo.data.sources import open_dataset
    from zoo.training.bench import bench as measure
    from zoo.training.teacher import load_teacher

    console, columns = err(), Columns(image=image_column, caption=caption_column)
    with console.status(f"loading the dataset {data}"):
        pairs = open_dataset(data, columns, images=images).split("train")
    with console.status(f"building {model}"):
        built = planned.build(device)
        teacher = load_teacher(planned.spec.train, device)
    with console.status("measuring"):
        found = measure(built, pairs, steps=steps, teacher=teacher)
    if as_json:
        print_json({"model": model, "data": data, **found.as_json()})
        return
    shown = table("stage", "per second", "ms each", "when")
    for stage in found.stages:
        shown.add_row(
            stage.name, f"{stage.per_second:,.1f}", f"{1000 * stage.seconds:.3f}", stage.when
        )
    print_to = out()
    print_to.print(shown)
    times = found.measured.bf16 / found.measured.fp32
    print_to.print(
        f"precision  {found.precision}; bf16 takes {times:.2f} times as long as fp32 here\n"
        f"compile    {'on' if found.compile else 'off'}\n"
        f"training   {found.pairs_per_second:,.1f} pairs/s, batch {found.batch_size}, "
        f"{found.workers} workers\n"
        f"bound by   {found.bound}: {found.advice}"
    )
