"""Checkpoints on disk: each a folder that appears whole or not at all, and is verified when it is read."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from zoo.errors import CheckpointError, WeightsError, first_line
from zoo.folder.swap import drafted, tidy
from zoo.training.packing import plain
from zoo.training.run_folder import faults_named
from zoo.weights.read import read_tensors, sha256_of

__all__ = ["Checkpoints", "Kept"]

_FORMAT_VERSION = 1
_CONTENT = "checkpoint.json"
_TENSORS = "tensors.safetensors"
_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True)
class Kept:
    """What was kept after a step.

    Args:
        content: as JSON.
    """

    step: int
    content: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


class Checkpoints:
    """The checkpoints of a run, in a folder `step-00000120` each.

    One is written beside its place, flushed to the disk, and renamed. Its JSON has the hash of its
    tensors and of itself.

    Args:
        run: what tells this run from others; a reader refuses checkpoints of another.
    """

    def __init__(self, folder: Path, run: str) -> None:
        self.folder, self.run = folder, run

    def tidy(self) -> None:
        """Clear away what a killed process left half written."""
        if self.folder.is_dir():
            tidy(self.folder)

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def steps(self) -> list[int]:
        """Of every checkpoint there is, whole or not, from the first on."""
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        matches = (_NAME.fullmatch(path.name) for path in found)
        return sorted(int(match[1]) for match in matches if match)

    def write(self, step: int, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Path:
        """Write one, in the place of any of the same step.

        Raises:
            CheckpointError: it cannot be written; those there are stay.
        """
        place = self.path(step)
        try:
            with drafted(place) as draft:
                save_file(plain(tensors), draft / _TENSORS)
                said = {
                    "format_version": _FORMAT_VERSION,
                    "run": self.run,
                    "step": step,
                    "tensors_sha256": sha256_of(draft / _TENSORS),
                    "content": json.loads(json.dumps(content)),  # as a reader finds it
                }
                text = json.dumps({"sha256": _sha256(said), **said}, indent=1)
                (draft / _CONTENT).write_text(text + "\n", encoding="utf-8")
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or first_line(error)
            raise CheckpointError(
                f"{place}: the checkpoint cannot be written: {reason}; {self.before(step)}. Make "
                "room, and go on with --resume (resume=True in code)"
            ) from error
        return place

    def before(self, step: int) -> str:
        """Says which one stands before a step."""
        others = [each for each in self.steps() if each < step]
        return f"{self.path(others[-1])} stands" if others else "there is none before it"

    def retain(self, keep: int, best: int | None) -> None:
        """Remove all but the newest ones and the best."""
        for step in self.steps()[:-keep]:
            if step != best:
                self._remove(step)

    def remove_after(self, step: int) -> None:
        """Remove those of later steps."""
        for each in self.steps():
            if each > step:
                self._remove(each)

    def newest(self) -> Kept | None:
        """The newest, if there is any.

        Raises:
            CheckpointError: it is not whole, or of another run; says which one is the last good one.
        """
        steps = self.steps()
        if not steps:
            return None
        try:
            return self.read(steps[-1])
        except CheckpointError as error:
            good = next((step for step in steps[-2::-1] if self._is_good(step)), None)
            advice = (
                "no earlier one is whole either; begin anew with --overwrite (overwrite=True in code)"
                if good is None
                else f"the last good one is {self.path(good)}: go on from it with --from-step {good} "
                f"(from_step={good} in code)"
            )
            raise CheckpointError(f"{error}. Nothing was changed; {advice}") from error

    def read(self, step: int) -> Kept:
        """The checkpoint of a step, of which every byte is as it was written.

        Raises:
            CheckpointError: there is none, it is not whole, or it is of another run.
        """
        place = self.path(step)
        if not place.is_dir():
            there = ", ".join(map(str, self.steps())) or "none"
            raise CheckpointError(f"{place}: there is no such checkpoint; there are: {there}")
        try:
            said = json.loads((place / _CONTENT).read_text(encoding="utf-8"))
            stated = said.pop("sha256")
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise CheckpointError(
                f"{place}: not a whole checkpoint: {_CONTENT}: {first_line(error)}"
            ) from error
        if not isinstance(said, dict) or stated != _sha256(said):
            raise CheckpointError(f"{place}: {_CONTENT} changed since it was written")
        if said["format_version"] != _FORMAT_VERSION:
            raise CheckpointError(
                f"{place}: is of format {said['format_version']}, and this zoo reads "
                f"{_FORMAT_VERSION}; go on with the zoo that wrote it"
            )
        if said["run"] != self.run or said["step"] != step:
            raise CheckpointError(f"{place}: is a checkpoint of another run, or of another step")
        try:
            found = sha256_of(place / _TENSORS)
            if found != said["tensors_sha256"]:
                raise CheckpointError(f"{place}: {_TENSORS} changed since it was written")
            tensors = read_tensors(place / _TENSORS)
        except (OSError, WeightsError) as error:
            raise CheckpointError(
                f"{place}: not a whole checkpoint: {_TENSORS}: {first_line(error)}"
            ) from error
        return Kept(step, said["content"], tensors)

    def _is_good(self, step: int) -> bool:
        try:
            self.read(step)
        except CheckpointError:
            return False
        return True

    def _remove(self, step: int) -> None:
        """Out of the way in one step, then removed: what is left of it is none any more."""
        place = self.path(step)
        away = place.with_name(f".{place.name}.former.draft")
        with faults_named(place):
            shutil.rmtree(away, ignore_errors=True)
            place.rename(away)
        shutil.rmtree(away, ignore_errors=True)


def _sha256(said: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
