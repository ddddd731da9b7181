"""What a report shows of a run beside its logs: `results.json`, written when the run ends."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Self

from torch import Tensor

from zoo.clip import CLIP
from zoo.data.pairs import Pair
from zoo.errors import ZooError, first_line
from zoo.evaluation.retrieval import retrieval
from zoo.report.machine import machine
from zoo.report.run import write_report
from zoo.report.samples import samples
from zoo.training.observer import Observer, Start
from zoo.training.run_folder import RunFolder, write_json

__all__ = ["Reported", "results"]

_log = logging.getLogger(__name__)


def results(
    model: CLIP,
    pairs: Sequence[Pair],
    image_embeds: Tensor,
    text_embeds: Tensor,
    *,
    split: str = "test",
    judged_on: str = "validation",
) -> dict[str, Any]:
    """What a trained model is and does: spec, metrics with intervals, samples, environment.

    Args:
        pairs: of the split that it is tested on, and their embeddings, row by row.
        judged_on: the split that the run was judged on as it went.
    """
    assert model.spec is not None
    found = retrieval(image_embeds, text_embeds)
    estimates = {
        side: {name: each.as_json() for name, each in metrics.items()}
        for side, metrics in found.estimates().items()
    }
    return {
        "split": split,
        "judged_on": judged_on,
        "spec": model.spec.model_dump(mode="json"),
        "trainable": sum(each.numel() for each in model.get_trainable_parameters()),
        "test": {**estimates, "count": found.images},
        "samples": [
            asdict(each)
            for each in samples(pairs, image_embeds, text_embeds, found.text_to_image.ranks)
        ],
        "environment": machine(next(model.parameters()).device),
    }


class Reported(Observer):
    """What stops a run, once it has begun, goes into its report: a context around the run it is told of.

    Args:
        run: None in a process that is not to write it.
        about: what is known of the run already: `model` and `data`.
    """

    def __init__(self, run: RunFolder | None, about: Mapping[str, Any]) -> None:
        self.run, self.about = run, about
        self._began = False

    def on_start(self, start: Start) -> None:
        self._began = True
        if self.run is not None:
            self.run.results.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self.run is not None and self._began and isinstance(error, ZooError):
            stopped = {"stopped": str(error), "environment": machine()}
            try:
                write_json(self.run.results, {**self.about, **stopped})
                write_report(self.run.path)
            except (OSError, ZooError) as failure:  # it is the error at hand that has to be told
                _log.warning("%s: cannot be written: %s", self.run.report, first_line(failure))
