"""What `zoo train` does: a model from a spec and a dataset, trained, saved, judged and reported."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cli.console import err, table
from zoo.cli.progress import progress_bars
from zoo.errors import SpecError, ZooError, suggestion

if TYPE_CHECKING:
    from zoo.evaluation.retrieval import Recall
    from zoo.recipe import Recipe
    from zoo.training.guards import Advice

__all__ = ["train_and_save"]

_METRICS = ("image_to_text", "text_to_image")
"""What the judge gives, each a recall at 1."""


def train_and_save(
    name: str,
    data: str,
    folder: Path,
    *,
    recipe: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    device: str = "cpu",
    resume: bool = False,
    from_step: int | None = None,
    overwrite: bool = False,
    columns: Mapping[str, str | None] | None = None,
    images: Path | None = None,
) -> dict[str, Any]:
    """Everything `zoo train` does; among several processes, the first alone evaluates and saves.

    Returns:
        What `zoo train --json` prints; nothing in the other processes.
    """
    from zoo.assembly import plan
    from zoo.folder import check_free, save
    from zoo.training.run_folder import RunFolder, write_json
    from zoo.training.trackers import Trackers

    kept = RunFolder(folder)
    resume = resume or from_step is not None
    kept.check_free(overwrite=overwrite, resume=resume)
    check_free(kept.model, overwrite=overwrite or resume)
    console, started = err(), time.perf_counter()
    planned = plan(name, recipe=recipe, overrides=overrides).fresh()
    planned.check()
    _check_metric(planned.spec.train)
    Trackers(planned.spec.train.trackers, kept)  # refused before anything is loaded

    import torch

    from zoo.cli.display import Display
    from zoo.cli.training_data import opened
    from zoo.construction import check_device
    from zoo.data.columns import Columns
    from zoo.data.fingerprint import fingerprint
    from zoo.evaluation.judge import Judge
    from zoo.evaluation.retrieval import recall_at
    from zoo.folder.half import round_to_half
    from zoo.report.results import Reported, results
    from zoo.report.run import write_report
    from zoo.training.cut import cut
    from zoo.training.execution import agreed_precision, set_seed
    from zoo.training.loop import train as run
    from zoo.training.processes import Processes, make_accelerator
    from zoo.training.start import take_start
    from zoo.training.teacher import load_teacher

    check_device(device)
    accelerator = make_accelerator(torch.device(device))
    if accelerator.num_processes > 1:
        device = str(accelerator.device)
    processes = Processes(torch.device(device))
    main = processes.is_main
    console.quiet = not main
    asked = planned.spec.train
    precision = agreed_precision(asked, torch.device(device), processes, kept if resume else None)
    with console.status(f"loading the dataset {data}"):
        dataset, pairs = opened(data, asked, Columns(**(columns or {})), images)
    console.print(f"data    {dataset.name}: {dataset.attribution}; licence {dataset.licence}")
    for note in dataset.notes:
        console.print(f"data    {note}")
    with console.status(f"building {name}"):
        set_seed(asked.seed)  # heads start at random
        model = planned.build(device)
        started_from = take_start(model, asked)
        teacher = load_teacher(asked, device)
    trainable = sum(parameter.numel() for parameter in model.get_trainable_parameters())
    console.print(f"model   {name}: {trainable:,} parameters train")
    if started_from:
        console.print(f"start   {', '.join(started_from)} of {' and '.join(asked.starts)}")

    about = {
        "model": name,
        "folder": str(folder),
        "data": {
            "name": dataset.name,
            "licence": dataset.licence,
            "attribution": dataset.attribution,
        },
    }
    judged_on = asked.evaluation.split
    with (
        progress_bars(shown=main) as (bars, progress),
        Reported(kept if main else None, about) as report,
    ):

        def judge_of(split: str) -> Judge:
            borne = asked.unreadable
            return Judge(model, pairs[split], progress, precision=precision, unreadable=borne)

        def keep(result: dict[str, Any], *, overwrite: bool) -> None:
            half = used.keep == "fp16"
            save(model, kept.model, half=half, overwrite=overwrite, record={"training": result})

        def warn(advice: Advice) -> None:
            bars.console.print(f"advice  {advice.text}", soft_wrap=True)

        judge, display = judge_of(judged_on), Display(bars, judged_on)
        used = run(
            cut(model, asked),
            pairs["train"],
            asked,
            teacher=teacher,
            judge=lambda: {
                "image_to_text": (found := judge.recall()).image_to_text[1],
                "text_to_image": found.text_to_image[1],
            },
            progress=display.preparing(progress),
            observers=[display, report],
            on_advice=warn,
            folder=kept.path,
            resume=resume,
            from_step=from_step,
            overwrite=overwrite,
            fingerprints={
                judged_on: processes.by_first(lambda: fingerprint(pairs[judged_on], progress))
            },
        )
        if processes.count > 1:
            accelerator.end_training()
        if not main:
            return {}
        model.eval()
        if used.keep == "fp16":
            round_to_half(model)
        assert model.spec is not None
        model.spec = model.spec.model_copy(update={"train": used})
        result: dict[str, Any] = {
            **about,
            "recipe": used.model_dump(mode="json"),
            "precision": precision,
        }
        keep(result, overwrite=overwrite or resume)  # whatever becomes of the test
        with _saved_all_the_same(kept.model):
            if judged_on in used.splits:  # then it says nothing
                result["validation"], judged_on = None, f"{judged_on}, which trains too"
            else:
                result["validation"] = judge.recall().as_json()
            tested = judge_of("test")
            embeds = tested.embeds()
            test = recall_at(*embeds)
            result["test"] = test.as_json()
    result["seconds"] = round(time.perf_counter() - started, 1)
    keep(result, overwrite=True)
    shown = results(model, tested.pairs, *embeds, judged_on=judged_on)
    write_json(kept.results, {**result, **shown})
    write_report(kept.path)
    _print_recall(test)
    console.print(f"saved   {kept.model} after {result['seconds']:.0f} s")
    console.print(f"report  {kept.report}")
    return result


def _check_metric(recipe: Recipe) -> None:
    metric = recipe.checkpoint.metric
    if metric not in (None, *_METRICS):
        raise SpecError(
            f"train.checkpoint.metric: the judge gives no {metric!r}; it gives "
            f"{', '.join(_METRICS)}.{suggestion(metric, _METRICS)}"
        )


@contextmanager
def _saved_all_the_same(model: Path) -> Iterator[None]:
    """A fault of what follows training says where the model is."""
    try:
        yield
    except ZooError as error:
        error.args = (f"{error}\nThe model is trained, and saved in {model} without its figures",)
        raise


def _print_recall(recall: Recall) -> None:
    shown = table(f"{recall.count} unseen concepts", *(f"recall@{k}" for k in recall.image_to_text))
    for title, values in (
        ("image to text", recall.image_to_text),
        ("text to image", recall.text_to_image),
    ):
        shown.add_row(title, *(f"{value:.1%}" for value in values.values()))
    err().print(shown)
