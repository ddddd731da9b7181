"""The recipe: how a model trains. Data only; the table `[train]` of a spec."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    model_validator,
)

from zoo.augmentation import Augmentation
from zoo.errors import SpecError

__all__ = [
    "Checkpoint",
    "Evaluation",
    "Optimizer",
    "Precision",
    "Recipe",
    "Schedule",
]

Precision = Literal["auto", "fp32", "bf16"]

MOST_WORKERS = 512
"""A recipe may come from anywhere, and starts no more processes than a large machine has cores."""

_Name = Annotated[str, Field(min_length=1)]
_Share = Annotated[float, Field(ge=0, lt=1)]


def _share_or_steps(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(
            f"a share of all steps, such as 0.1, or a whole number of them, such as 200, not {value!r}"
        )
    if isinstance(value, float) and value >= 1:
        raise ValueError(
            f"a warmup of {value:g} as a share of all steps leaves none to train in; "
            "write a fraction below 1, or a whole number of steps"
        )
    return value


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Optimizer(_Data):
    """What moves the weights, and how far."""

    name: str = Field("adamw", min_length=1, description="Any of timm.optim.list_optimizers().")
    learning_rate: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Peak of the schedule; when not given, 1e-4, or 1e-3 where only heads train.",
    )
    weight_decay: float = Field(0.1, ge=0, allow_inf_nan=False, description="Of matrices only.")
    args: dict[str, JsonValue] = Field(
        default_factory=dict, description="Of the optimizer, such as betas or momentum."
    )
    backbone_scale: float = Field(
        1.0, ge=0, allow_inf_nan=False, description="Factor on the rate of the encoders."
    )
    layer_decay: float | None = Field(
        None, gt=0, le=1, description="Factor on that for each block from output to input."
    )
    loss_learning_rate: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Of temperature and bias, if not the peak."
    )
    clip_norm: float | None = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description='Largest norm of all gradients together; "none" for no bound.',
    )

    @model_validator(mode="before")
    @classmethod
    def _unbounded(cls, value: object) -> object:
        """TOML has no null."""
        if isinstance(value, dict) and value.get("clip_norm") == "none":
            return {**value, "clip_norm": None}
        return value


class Schedule(_Data):
    """How the learning rate goes: up to its peak, then down."""

    name: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="How it falls after the warm-up."
    )
    warmup: Annotated[float | int, BeforeValidator(_share_or_steps)] = Field(
        0.1,
        ge=0,
        allow_inf_nan=False,
        description="A fraction is a share of all steps, a whole number so many steps; it rises "
        "linearly.",
    )
    final: _Share = Field(0.0, description="Share of the peak where it ends.")

    @model_validator(mode="after")
    def _ends_where_it_says(self) -> Schedule:
        if self.name == "constant" and self.final:
            raise ValueError(
                f"a constant schedule ends at its peak, and final is {self.final:g}; leave final out, "
                "or let the schedule be cosine or linear"
            )
        return self


class Evaluation(_Data):
    """When a model is judged while it trains, and on what."""

    split: str = Field("validation", min_length=1, description="Split of the dataset.")
    every: int | None = Field(
        None, ge=1, description="Epochs from one to the next; when not given, twenty in all."
    )


class Checkpoint(_Data):
    """How often a run is kept so that it can go on from there, and which of its models is saved."""

    steps: int | None = Field(None, ge=1, description="Steps from one checkpoint to the next.")
    minutes: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Minutes from one to the next; 10, if steps are not given either.",
    )
    keep: int = Field(2, ge=1, description="Newest checkpoints that stay; the best stays as well.")
    metric: str | None = Field(
        None,
        min_length=1,
        description="What the best is judged by, of the judge's metrics; its first one if not given. "
        "Greater is better.",
    )
    save: Literal["last", "best"] = Field(
        "last", description="Which model a run ends with: the last, or the best by the metric."
    )

    @property
    def seconds(self) -> float:
        """Time from one checkpoint to the next."""
        if self.minutes is None:
            return 600.0 if self.steps is None else math.inf
        return 60 * self.minutes


class Recipe(_Data):
    """How long, how fast and how reproducibly a model trains."""

    epochs: int | None = Field(
        None,
        ge=1,
        description="Passes over the training split; when not given, 10, or 200 where only heads train.",
    )
    steps: int | None = Field(None, ge=1, description="In place of epochs, steps of the optimizer.")
    batch_size: int | None = Field(
        None, ge=2, description="Pairs a step; when not given, 32, or 512 where only heads train."
    )
    accumulation: int = Field(
        1,
        ge=1,
        description="Parts in which a batch goes through the encoders, for its memory. The step is "
        "that of the whole batch.",
    )
    batch_norm: Literal["train", "frozen"] = Field(
        "train",
        description="frozen: batch norms keep their statistics, as in eval mode; a batch in parts "
        "needs it.",
    )
    splits: list[Annotated[str, Field(min_length=1)]] = Field(
        ["train"],
        min_length=1,
        description="Splits of the dataset whose pairs train: with validation among them, once all "
        "choices are made.",
    )
    sampling: Literal["pair", "concept"] | None = Field(
        None,
        description="An epoch goes through every pair, or one random pair of every concept, but for what "
        "does not fill its last batch; when not given, concept, or pair of a stream.",
    )
    stream: bool = Field(
        False, description="Read the data as a stream, of which no list is held in memory."
    )
    epoch_steps: int | None = Field(
        None,
        ge=1,
        description="Of a stream, steps that count as an epoch for evaluation and log; when not "
        "given, its pairs are counted for it, or, where steps are given, it is a twentieth of them.",
    )
    precision: Precision = Field(
        "auto", description="auto: bfloat16 where it is measured to be faster."
    )
    compile: bool = Field(False, description="Compile the encoders that train, with torch.compile.")
    workers: int = Field(
        2, ge=0, le=MOST_WORKERS, description="Processes that read pictures; 0: this one does."
    )
    unreadable: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of pictures that may be unreadable, and are skipped; more end the run.",
    )
    seed: int = Field(0, ge=0, lt=2**32, description="Of all that is random.")
    data_seed: int | None = Field(
        None,
        ge=0,
        lt=2**32,
        description="Of order, captions and augmentation; when not given, the seed.",
    )
    teacher: str | None = Field(
        None,
        min_length=1,
        description="A model, by name or folder, for losses that learn from one.",
    )
    log_every: int | None = Field(
        None, ge=1, description="Steps from one line of the log to the next; some 200 lines in all."
    )
    start: _Name | Annotated[list[_Name], Field(min_length=1)] | None = Field(
        None,
        description="A model, by name or folder, whose weights training starts from, or several, whose "
        "encoders are averaged; when not given, from the encoders' own and from fresh heads.",
    )
    start_share: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Of the start's weights in each encoder; the rest are the encoder's own (WiSE-FT).",
    )
    keep: Literal["fp32", "fp16"] = Field(
        "fp32",
        description="fp16: weights are rounded to 16 bits when training ends, before they are judged, "
        "and saved in half the space.",
    )
    guards: Literal["stop", "advise"] = Field(
        "stop",
        description="Whether a run whose embeddings collapse, or whose loss diverges, stops there.",
    )
    trackers: list[str] = Field(
        default_factory=list,
        description='Such as "tensorboard"; any that accelerate knows and that is installed.',
    )
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    augmentation: Augmentation = Augmentation()
    evaluation: Evaluation = Evaluation()
    checkpoint: Checkpoint = Checkpoint()

    @model_validator(mode="after")
    def _one_length(self) -> Recipe:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("epochs and steps both say how long to train; leave one out")
        if self.start is None and self.start_share != 1:
            raise ValueError("start_share is of a start's weights, and there is no start; name one")
        if len(set(self.starts)) < len(self.starts):
            raise ValueError("start names a model twice; leave one out")
        if "test" in self.splits:
            raise ValueError("splits: what is reported of the test split holds if it never trains")
        if self.evaluation.split == "test":
            raise ValueError(
                "evaluation.split: what is reported of the test split holds if it chooses nothing; "
                "judge by another one"
            )
        if self.checkpoint.save == "best" and self.evaluation.split in self.splits:
            raise ValueError(
                f"checkpoint.save: the best is chosen by the split {self.evaluation.split!r}, which trains "
                'too and then chooses what it has learnt by heart; save the "last"'
            )
        if self.stream and self.splits != ["train"]:
            raise ValueError("splits: a stream trains on its split train alone")
        if self.epoch_steps is not None and not self.stream:
            raise ValueError("epoch_steps is for a stream; other data says how long an epoch is")
        if self.stream and self.sampling == "concept":
            raise ValueError(
                'a stream gives every pair once an epoch and knows no concepts; say sampling = "pair"'
            )
        if self.batch_size is not None and self.accumulation > self.batch_size:
            raise ValueError(_too_many_parts(self.accumulation, self.batch_size))
        return self

    @property
    def starts(self) -> list[str]:
        """The models that it starts from."""
        if self.start is None:
            return []
        return [self.start] if isinstance(self.start, str) else self.start

    def filled(self, *, heads_only: bool) -> Recipe:
        """This recipe with what was not given: heads on cached features bear more of everything.

        Raises:
            SpecError: the batch that was not given has fewer pairs than it is to have parts.
        """
        length = {} if self.steps or self.epochs else {"epochs": 200 if heads_only else 10}
        rate = self.optimizer.learning_rate or (1e-3 if heads_only else 1e-4)
        batch_size = self.batch_size or (512 if heads_only else 32)
        if self.accumulation > batch_size:
            said = _too_many_parts(self.accumulation, batch_size)
            raise SpecError(f"train.accumulation: {said}; set train.batch_size too")
        return self.model_copy(
            update={
                **length,
                "batch_size": batch_size,
                "sampling": self.sampling or ("pair" if self.stream else "concept"),
                "data_seed": self.seed if self.data_seed is None else self.data_seed,
                "optimizer": self.optimizer.model_copy(update={"learning_rate": rate}),
            }
        )


def _too_many_parts(accumulation: int, batch_size: int) -> str:
    return (
        f"accumulation is {accumulation}, and a batch of {batch_size} pairs has not as many parts"
    )
