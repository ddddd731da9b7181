"""The folder of a run: what is where in it, and whether a run may begin there."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.data.unreadable import Unreadable
from zoo.errors import CheckpointError, FolderError, first_line
from zoo.folder.swap import sync, write_whole

__all__ = ["RunFolder", "faults_named", "write_json"]

_log = logging.getLogger(__name__)

_FORMAT_VERSION = 2


class RunFolder:
    """`run.json` says what the run is, and makes the folder one of a run."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.about = self.path / "run.json"
        self.model = self.path / "model"
        """What `zoo.load` opens, when the run is over."""
        self.checkpoints = self.path / "checkpoints"
        self.log = self.path / "log.jsonl"
        self.timing = self.path / "timing.jsonl"
        self.tensorboard = self.path / "tensorboard"
        self.report = self.path / "report.html"
        self.unreadable = self.path / "unreadable.txt"
        self.advice = self.path / "advice.jsonl"
        """What the guard rails said."""
        self.results = self.path / "results.json"
        """What a report shows beside the logs."""
        self.not_finite = self.path / "not-finite"
        """The batch whose loss was no number, if there was one."""
        self._former = self.path / ".former.draft"
        """While another run takes its place: what a former one wrote."""

    @property
    def holds_run(self) -> bool:
        return self.about.is_file()

    def check_free(self, *, overwrite: bool = False, resume: bool = False) -> None:
        """Raise unless a run may begin, or go on, here.

        Raises:
            CheckpointError: a run is to be resumed and replaced.
            FolderError: here is a run that is neither to be resumed nor replaced, or something else.
        """
        if resume and overwrite:
            raise CheckpointError(
                "a run is resumed or overwritten, and not both; leave one of them out"
            )
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise FolderError(f"{self.path}: is a file; a run is kept in a folder")
        if self.holds_run:
            if not (overwrite or resume):
                raise FolderError(
                    f"{self.path}: holds a run already; go on with it by --resume (resume=True in "
                    "code), replace it by --overwrite, or choose another folder"
                )
            return
        if self._former.is_dir():  # killed as a run was being replaced
            return
        others = sorted(each.name for each in self.path.iterdir() if each.name[0] != ".")
        if others:
            listed = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
            raise FolderError(
                f"{self.path}: exists already, and holds something that is not a run: {listed}; "
                "choose another folder. Nothing was written"
            )

    def begin(self, about: dict[str, Any]) -> None:
        """Make it the folder of this run. Of a former one only its model stays, until it is replaced.

        Killed at any moment, it leaves a folder where a run may begin, or go on.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        there = [
            path
            for path in (
                self.about,  # first: without it, what is left is no run that could be gone on with
                self.log,
                self.timing,
                self.report,
                self.unreadable,
                self.advice,
                self.results,
                self.checkpoints,
                self.tensorboard,
                self.not_finite,
            )
            if path.exists()
        ]
        if there:
            self._former.mkdir(exist_ok=True)
            sync(self.path)
            for path in there:
                away = self._former / path.name
                shutil.rmtree(away, ignore_errors=True)
                path.replace(away)
        write_json(self.about, {"format_version": _FORMAT_VERSION, **about})
        self.checkpoints.mkdir()
        self.tidy()

    def tidy(self) -> None:
        """Clear away what is left of a run that this one replaced, and of a killed `begin`."""
        shutil.rmtree(self._former, ignore_errors=True)
        for draft in self.path.glob(f".{self.about.name}.*"):
            draft.unlink(missing_ok=True)

    def name_unreadable(self, unreadable: Unreadable) -> None:
        """Write which pictures could not be read, if there are any."""
        if unreadable.count:
            try:
                self.unreadable.write_text(f"{unreadable}\n", encoding="utf-8")
            except OSError as failure:  # what ends the run is told, and not this
                _log.warning("%s: cannot be written: %s", self.unreadable, failure.strerror)

    def read_about(self) -> dict[str, Any]:
        """What `begin` was given.

        Raises:
            CheckpointError: it is damaged, or of another version.
        """
        try:
            said: dict[str, Any] = json.loads(self.about.read_text(encoding="utf-8"))
            version = said.pop("format_version")
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise CheckpointError(f"{self.about}: cannot be read: {first_line(error)}") from error
        if version != _FORMAT_VERSION:
            raise CheckpointError(
                f"{self.about}: is of format {version}, and this zoo reads {_FORMAT_VERSION}; go on "
                "with the zoo that began the run"
            )
        return said


@contextmanager
def faults_named(path: Path) -> Iterator[None]:
    """Around the writing of a run's file: a fault names it, and says how to go on.

    Raises:
        CheckpointError: in place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be written: {error.strerror}; the run stops here, and goes on "
            "with --resume (resume=True in code) once this is mended"
        ) from error


def write_json(path: Path, data: Any) -> None:
    """A file of JSON that appears whole and safe from a power cut, or not at all."""
    write_whole(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
