"""`zoo train --overfit-batch`: whether a model can learn one batch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.cli.console import err
from zoo.cli.progress import progress_bars

__all__ = ["learn_one_batch"]


def learn_one_batch(
    name: str,
    data: str,
    *,
    recipe: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    device: str = "cpu",
    columns: Mapping[str, str | None] | None = None,
    images: Path | None = None,
) -> dict[str, Any]:
    """Train on one batch, say how well it is learnt, and keep nothing.

    Raises:
        TrainingError: the batch was not learnt.
    """
    from zoo.assembly import plan
    from zoo.cli.training_data import opened

    planned = plan(name, recipe=recipe, overrides=overrides)
    planned.check()

    from zoo.cli.display import Display
    from zoo.data.columns import Columns
    from zoo.evaluation.overfit import overfit
    from zoo.training.execution import set_seed
    from zoo.training.start import take_start
    from zoo.training.teacher import load_teacher

    console, asked = err(), planned.spec.train
    with console.status(f"loading the dataset {data}"):
        _, splits = opened(data, asked, Columns(**(columns or {})), images)
        found = splits["train"]
        pairs = (pair for pair, _ in found.read()) if asked.stream else found
    with console.status(f"building {name}"):
        set_seed(asked.seed)  # heads start at random
        model = planned.fresh().build(device)
        take_start(model, asked)
        teacher = load_teacher(asked, device)
    with progress_bars() as (bars, progress):
        display = Display(bars, "batch")
        learnt = overfit(
            model,
            pairs,
            asked,
            teacher=teacher,
            progress=display.preparing(progress),
            observers=[display],
        )
    console.print(
        f"learnt  one batch of {learnt.pairs} pairs in {learnt.steps} steps: {learnt.text}",
        soft_wrap=True,
    )
    return learnt.as_json()
