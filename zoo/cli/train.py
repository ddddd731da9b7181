"""`zoo train`: a model from a spec and a dataset, with its recall on unseen concepts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.console import overrides_from, print_json
from zoo.cli.options import AsJson, Overrides

__all__ = ["train"]


def train(
    model: Annotated[str, typer.Argument(help="A named model, or a .toml or .json spec.")],
    data: Annotated[
        str, typer.Option(help="A folder, table, COCO file, shards, hub:owner/name, or a dataset.")
    ],
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the run, runs/MODEL; model/ in it has the model."),
    ] = None,
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
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps, in place of epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pairs a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak of the schedule.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of matrices.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of all that is random.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that read pictures.")] = None,
    stream: Annotated[
        bool | None, typer.Option("--stream", help="Hold no list of the data in memory.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, …")] = "cpu",
    resume: Annotated[
        bool, typer.Option(help="Go on with the run in the folder, from its newest checkpoint.")
    ] = False,
    from_step: Annotated[
        int | None, typer.Option(help="Resume from the checkpoint of this step instead.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a run that is there.")] = False,
    overfit_batch: Annotated[
        bool, typer.Option(help="Learn one batch only, to see if the model can; nothing is saved.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model, report recall on unseen concepts, and save what zoo.load opens.

    The flags, and --set train.KEY=VALUE for all that has none, change the recipe.
    """
    flags = {
        "epochs": epochs,
        "steps": steps,
        "batch_size": batch_size,
        "optimizer.learning_rate": learning_rate,
        "optimizer.weight_decay": weight_decay,
        "seed": seed,
        "workers": workers,
        "stream": stream,
    }
    given = {f"train.{path}": value for path, value in flags.items() if value is not None}
    if overfit_batch:
        from zoo.cli.overfit import learn_one_batch

        learnt = learn_one_batch(
            model,
            data,
            recipe=recipe,
            overrides={**overrides_from(changes), **given},
            device=device,
            columns={"image": image_column, "caption": caption_column},
            images=images,
        )
        if as_json:
            print_json(learnt)
        return
    from zoo.cli.train_and_save import train_and_save

    result = train_and_save(
        model,
        data,
        folder or Path("runs", Path(model).stem),
        recipe=recipe,
        overrides={**overrides_from(changes), **given},
        device=device,
        resume=resume,
        from_step=from_step,
        overwrite=overwrite,
        columns={"image": image_column, "caption": caption_column},
        images=images,
    )
    if as_json and result:
        print_json(result)
