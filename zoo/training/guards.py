"""Guard rails of a run: each fault is told once, and some stop it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zoo.errors import TrainingError
from zoo.training.observer import Observer, Start, Step
from zoo.training.rails import RAILS, Advice, Rail
from zoo.training.run_folder import faults_named

__all__ = ["Advice", "Guards", "read_advice"]


class Guards(Observer):
    """Watches every step, says each thing once, and stops a run that comes to nothing.

    Args:
        tell: told each advice that does not stop the run.
        file: where all advice is written, a JSON object a line.

    Raises:
        CheckpointError: the file cannot be written.
        TrainingError: the embeddings collapsed or the loss diverged, and the recipe does not say
            `guards = "advise"`.
    """

    def __init__(
        self, tell: Callable[[Advice], None] | None = None, file: Path | None = None
    ) -> None:
        self.tell, self.file = tell, file
        self.said: list[Advice] = []
        self._rails: list[Rail] = []
        self._state: Mapping[str, Any] = {}
        self._stop = True

    def on_start(self, start: Start) -> None:
        self._stop = start.recipe.guards == "stop"
        patience = min(50, max(10, start.steps // 20))
        self._rails = [kind(start, patience) for kind in RAILS]
        for rail in self._rails:
            if rail.name in self._state:
                rail.load_state_dict(self._state[rail.name])
        self._write()

    def on_step(self, step: Step) -> None:
        for rail in self._rails:
            if {each.name for each in self.said} & {rail.name, *rail.told_by}:
                continue
            advice = rail.see(step)
            if advice is None:
                continue
            self.said.append(advice)
            self._write()
            if advice.stops and self._stop:
                raise TrainingError(
                    f"step {step.number}: {advice.text} "
                    'With train.guards = "advise" a run goes on all the same'
                )
            if self.tell is not None:
                self.tell(advice)

    def state_dict(self) -> dict[str, Any]:
        rails = {rail.name: rail.state_dict() for rail in self._rails}
        return {"said": [asdict(each) for each in self.said], "rails": rails}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.said = [Advice(**each) for each in state["said"]]
        self._state = state["rails"]

    def _write(self) -> None:
        if self.file is not None and (self.said or self.file.exists()):
            lines = (json.dumps(asdict(each), ensure_ascii=False) for each in self.said)
            with faults_named(self.file):
                self.file.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def read_advice(file: Path) -> list[Advice]:
    """What `Guards` wrote; nothing where there is no file."""
    if not file.exists():
        return []
    return [Advice(**json.loads(line)) for line in file.read_text("utf-8").splitlines()]
