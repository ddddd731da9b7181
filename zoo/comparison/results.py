"""What one cell gave, and the folder that keeps it: a file a cell, whole or not there."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zoo.folder.swap import write_whole

__all__ = ["Cost", "Ranks", "Result", "ResultFolder"]

_log = logging.getLogger(__name__)

Split = Literal["validation", "test"]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Cost(_Data):
    """What a training and its model take."""

    trainable: int = Field(description="Parameters that train, the loss's included.")
    parameters: int = Field(description="Parameters of both towers.")
    steps: int
    train_seconds: float = Field(description="All steps, without what was prepared before.")
    pairs_per_second: float = Field(description="In training.")
    gflop_per_picture: float = Field(description="Of the image tower, a multiplication as one.")
    seconds: float = Field(description="The whole cell: building, features, training, judging.")


class Ranks(_Data):
    """For each concept of a split, the place of its own partner; 1 is the first."""

    image_to_text: list[int]
    text_to_image: list[int]


class Result(_Data):
    """What a cell gave: ranks and costs, or an error."""

    format: Literal[1] = 1
    key: str
    variation: str
    seed: int
    spec: dict[str, Any]
    computed: dict[str, str] = Field(description="Device and precision.")
    ranks: dict[Split, Ranks] | None = None
    loss: float | None = Field(None, description="Mean over the last epoch.")
    cost: Cost | None = None
    error: str | None = None
    traceback: str | None = Field(None, description="Of an error that is none of zoo's own.")

    @property
    def failed(self) -> bool:
        return self.error is not None


class ResultFolder:
    """The results under a folder, by the keys of their cells."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> Result | None:
        """A result that is there; one that is damaged is not."""
        path = self._path(key)
        try:
            found = Result.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (ValidationError, OSError) as error:
            _log.warning("%s: not a result, and computed again: %s", path, type(error).__name__)
            return None
        return found if found.key == key else None

    def put(self, result: Result) -> None:
        write_whole(self._path(result.key), result.model_dump_json(indent=1))

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"
