"""What each step is fed from a stream: pairs as they come, of which nothing is listed or kept."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from zoo.clip import CLIP
from zoo.data.augment import Augmenter
from zoo.data.held import Held
from zoo.data.pairs import Pair
from zoo.data.stream import Place, Stream
from zoo.data.unreadable import Unread, Unreadable, attempted
from zoo.errors import DataError, SpecError
from zoo.parameters import any_tensor
from zoo.recipe import Recipe
from zoo.training.batch import Batch
from zoo.training.execution import check_compiled
from zoo.training.feed import stacked, told_of_unread
from zoo.training.processes import Processes
from zoo.training.stopping import bear_signals

__all__ = ["Interleaved", "StreamFeed"]

_LANES = 8
_STRETCHES = 20


@dataclass(frozen=True)
class _Row:
    """A pair as one step draws it."""

    picture: Path | Held
    caption: str
    seed: int
    image_id: int
    text_id: int


class StreamFeed:
    """Batches of a stream's pairs, each pair once an epoch.

    A few readers go through the shards side by side, and a batch takes a pair of each by turns, so
    that it has pairs of several shards. Where an epoch ends within a batch, the next one begins
    there. Every process goes through the whole stream in the same order, and reads the pictures of
    its share of each batch, in worker processes. So any number of processes and of workers gives the
    same batches, and a run goes on after any of them with other numbers.

    Which caption is drawn, and what happens to a picture, are decided by the seed, the epoch and the
    picture's name.

    Frozen encoders run at each step: on data that is seen a few times, keeping features would cost more
    than it saves.

    Args:
        stream: of the training split.

    Raises:
        DataError: the stream has too few pairs.
        SpecError: there is a teacher, or the recipe compiles encoders and both are frozen, or there are
            more processes than pairs in a batch.
    """

    def __init__(self, model: CLIP, stream: Stream, recipe: Recipe, *, teacher: Any = None) -> None:
        assert recipe.batch_size is not None
        assert recipe.data_seed is not None
        if teacher is not None:
            raise SpecError(
                "train.teacher: a stream keeps no embeddings of a teacher; train without --stream"
            )
        check_compiled(model, recipe)
        self.model, self.stream, self.recipe = model, stream, recipe
        self.batch_size, self.seed = recipe.batch_size, recipe.data_seed
        image: Any = model.image_encoder
        self._augment = Augmenter(image.encoder.preprocess, recipe.augmentation)
        self._device = any_tensor(model).device
        self.processes = Processes(self._device)
        self.processes.check_alike("the stream", lambda: [each.name for each in stream.shards])
        if self.batch_size < self.processes.count:
            raise SpecError(
                f"train.batch_size is that of all processes together: {self.batch_size} pairs a "
                f"step cannot be divided among {self.processes.count} processes"
            )
        self.lanes = min(_LANES, len(stream.shards))
        self.unreadable = Unreadable(recipe.unreadable)
        self.steps_per_epoch = self._steps_per_epoch()
        self._given: list[_Row] = []

    def batches(self, steps: range, place: Any = None) -> Iterator[Batch]:
        """The batches of some steps, or this process's shares of them, on the CPU.

        Args:
            place: that of the batch before; without it, steps are counted from the start.

        Raises:
            DataError: a shard cannot be read, or more pictures than the recipe bears; with their
                names.
        """
        drawn: deque[tuple[list[_Row], Any]] = deque()
        loader: DataLoader[Any] = DataLoader(
            _Rows(self._augment),
            batch_sampler=self._sampled(steps, place, drawn),
            num_workers=self.recipe.workers,
            collate_fn=stacked,
            pin_memory=self._device.type == "cuda",
            worker_init_fn=bear_signals,
        )
        for pictures, faults in loader:
            rows, after = drawn.popleft()
            own = rows[self.processes.share(len(rows))]
            own = [row for number, row in enumerate(own) if number not in faults]
            counts, unread = told_of_unread(
                self.processes, self.unreadable, len(rows), len(own), list(faults.values())
            )
            self._given = own
            yield self._batch(own, pictures, counts, unread, after)
        self.unreadable.finish()

    def named(self, batch: Batch) -> list[tuple[str, str]]:
        """The picture and the caption of each of its rows; of the batch that was given last."""
        return [(str(row.picture), row.caption) for row in self._given]

    def _batch(
        self, rows: list[_Row], pictures: Any, counts: list[int], unread: list[Unread], place: Any
    ) -> Batch:
        return Batch(
            image_ids=torch.tensor([row.image_id for row in rows]),
            text_ids=torch.tensor([row.text_id for row in rows]),
            pictures=pictures,
            tokens=self.model.tokenize([row.caption for row in rows]),
            counts=counts if len(counts) > 1 else (),
            unread=unread,
            place=place,
        )

    def _sampled(
        self, steps: range, place: Any, drawn: deque[tuple[list[_Row], Any]]
    ) -> Iterator[list[_Row]]:
        """This process's rows, batch by batch; whole batches go to `drawn`, with the place after."""
        begin = 0 if place is None else steps.start
        sequence = Interleaved(self.stream, self.lanes, place)
        for step in range(begin, steps.stop):
            drawn_pairs = list(islice(sequence, self.batch_size))
            if drawn_pairs[-1][1] > drawn_pairs[0][1] + 1:
                raise DataError(
                    f"the stream has fewer pairs to train with than one batch of {self.batch_size}; "
                    "train without --stream"
                )
            rows = [self._row(*each) for each in drawn_pairs]
            if step >= steps.start:
                drawn.append((rows, sequence.place()))
                yield rows[self.processes.share(len(rows))]

    def _row(self, pair: Pair, epoch: int) -> _Row:
        name = str(pair.picture)
        draw = _number(f"{self.seed} {epoch} {name}", "zoo draw")
        caption = pair.captions[draw % len(pair.captions)]
        seed = _number(f"{self.seed} {epoch} {name}", "zoo seed") >> 1
        return _Row(
            pair.picture,
            caption,
            seed,
            _number(name, "zoo id") >> 1,
            _number(caption, "zoo id") >> 1,
        )

    def _steps_per_epoch(self) -> int:
        """Counted, if the recipe gives epochs; if it gives steps, a twentieth of them."""
        if self.recipe.steps is not None:
            return self.recipe.epoch_steps or -(-self.recipe.steps // _STRETCHES)
        count = self.processes.by_first(lambda: sum(1 for _ in self.stream.read(0)))
        if count < self.batch_size:
            raise DataError(
                f"the stream has {count} pairs to train with, fewer than one batch of "
                f"{self.batch_size}; train without --stream"
            )
        return self.recipe.epoch_steps or count // self.batch_size


class Interleaved(Iterator[tuple[Pair, int]]):
    """All pairs from a place on, each with its epoch, epoch after epoch: a pair of each lane by turns."""

    def __init__(self, stream: Stream, lanes: int, place: Any = None) -> None:
        self.stream, self.count = stream, lanes
        if place is None:
            self._begin(0)
            return
        there = place["lanes"]
        if any(int(lane) >= lanes for lane in there):
            raise DataError(
                f"the run was interrupted while it read {1 + max(map(int, there))} or more shards "
                f"side by side, and now there are {lanes}: these are other shards"
            )
        self.epoch, self.turn, self.fresh = place["epoch"], place["turn"], False
        self._open({int(lane): Place(**here) if here else None for lane, here in there.items()})

    def place(self) -> dict[str, Any]:
        """Where it is, as JSON; lanes that are done are not in it."""
        lanes = {str(lane): here and here.as_json() for lane, here in self.places.items()}
        return {"epoch": self.epoch, "turn": self.turn, "lanes": lanes}

    def __next__(self) -> tuple[Pair, int]:
        while True:
            while self.lanes:
                lane = min(
                    (each for each in self.lanes if each >= self.turn), default=min(self.lanes)
                )
                self.turn = lane + 1
                found = next(self.lanes[lane], None)
                if found is not None:
                    pair, self.places[lane] = found
                    self.fresh = False
                    return pair, self.epoch
                del self.lanes[lane], self.places[lane]
            if self.fresh:
                raise DataError("the stream has no pairs to train with")
            self._begin(self.epoch + 1)

    def _begin(self, epoch: int) -> None:
        self.epoch, self.turn, self.fresh = epoch, 0, True
        self._open(dict.fromkeys(range(self.count)))

    def _open(self, places: dict[int, Place | None]) -> None:
        self.places = places
        self.lanes = {
            lane: self.stream.read(here or self.epoch, reader=lane, readers=self.count)
            for lane, here in places.items()
        }


class _Rows(Dataset[Any]):
    """Pictures as the encoder sees them, by row."""

    def __init__(self, augment: Augmenter) -> None:
        self.augment = augment

    def __getitem__(self, row: _Row) -> Any:
        return attempted(lambda: self.augment.read(row.picture, row.seed))


def _number(text: str, person: str) -> int:
    """64 bits that the text decides, and nothing else."""
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=person.encode()).digest()
    return int.from_bytes(digest, "big")
