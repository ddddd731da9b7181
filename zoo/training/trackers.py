"""Trackers of experiments, such as TensorBoard, through accelerate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zoo.errors import MissingExtraError, SpecError, suggestion
from zoo.training.log import Stretch
from zoo.training.observer import Epoch, Observer, Start, Step
from zoo.training.run_folder import RunFolder

__all__ = ["Trackers"]


class Trackers(Observer):
    """Tells trackers what the log says, as often: `train/loss` and the like, `validation/…`.

    Beside it, how alike the embeddings of a batch are. A run that is resumed goes on in the same place;
    what was told after its checkpoint is told again.

    Args:
        names: that accelerate knows trackers by.
        folder: of the run; TensorBoard's files are in `tensorboard/` of it.

    Raises:
        MissingExtraError: a tracker's package is not installed.
        SpecError: accelerate has no such tracker, or the run has no folder.
    """

    def __init__(self, names: Sequence[str], folder: RunFolder | None) -> None:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

        known = {str(name): kind for name, kind in LOGGER_TYPE_TO_CLASS.items()}
        installed = [str(name) for name in get_available_trackers()]
        for name in names:
            if name not in known:
                raise SpecError(
                    f"train.trackers: accelerate has no tracker {name!r}; it has "
                    f"{', '.join(sorted(known))}.{suggestion(name, known)}"
                )
            if name not in installed:
                extra = "'clip-zoo[track]'" if name == "tensorboard" else name.replace("_", "-")
                raise MissingExtraError(
                    f"train.trackers: {name} is not installed: pip install {extra}"
                )
        if names and folder is None:
            raise SpecError("train.trackers: a run that is tracked takes a folder; give it one")
        self._kinds = {name: known[name] for name in dict.fromkeys(names)}
        self._folder = folder
        self._trackers: list[Any] = []
        self._stretch = Stretch()

    def on_start(self, start: Start) -> None:
        self._stretch.begin(start)
        for name, kind in self._kinds.items():
            assert self._folder is not None
            place = self._folder.tensorboard if name == "tensorboard" else self._folder.path
            where = (str(place.parent),) if kind.requires_logging_directory else ()
            tracker = kind(place.name, *where)
            tracker.start()
            self._trackers.append(tracker)
            if not start.done:
                tracker.store_init_configuration(dict(_flat(start.recipe.model_dump(mode="json"))))

    def on_step(self, step: Step) -> None:
        loss = self._stretch.mean_loss(step)
        if loss is None:
            return
        found = step.outcome
        self._tell(
            {
                "train/loss": loss,
                "train/learning_rate": found.learning_rate,
                "train/grad_norm": found.grad_norm,
                "train/temperature": found.temperature,
                "train/image_cosine": found.image_cosine,
                "train/text_cosine": found.text_cosine,
                "train/unreadable": step.unreadable,
            },
            step.number,
        )

    def on_epoch(self, epoch: Epoch) -> None:
        metrics = epoch.metrics or {}
        self._tell({f"validation/{name}": value for name, value in metrics.items()}, epoch.step)

    def on_end(self) -> None:
        for tracker in self._trackers:
            tracker.finish()

    def state_dict(self) -> dict[str, Any]:
        return self._stretch.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._stretch.load_state_dict(state)

    def _tell(self, values: Mapping[str, float | None], step: int) -> None:
        known = {name: value for name, value in values.items() if value is not None}
        if known:
            for tracker in self._trackers:
                tracker.log(known, step=step)


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Scalars by their path, lists as text."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        elif value is not None:
            yield f"{before}{name}", str(value) if isinstance(value, list) else value
