"""Training from a stream: every pair once an epoch, the same batches however they are read."""

import tracemalloc
from collections import Counter, deque
from itertools import chain

import pytest
import torch
from shades import COLOURS, png

import layouts
from zoo.data.columns import Columns
from zoo.data.stream import stream
from zoo.errors import CheckpointError, DataError, SpecError
from zoo.recipe import Recipe
from zoo.training.loop import train
from zoo.training.stream_feed import Interleaved, StreamFeed


def shards(root, sizes):
    """Shards of so many pairs; a pair's caption is its colour and number."""
    number = 0
    for shard, size in enumerate(sizes):
        members = []
        for _ in range(size):
            colour = list(COLOURS)[number % len(COLOURS)]
            members.append((f"{number:06}.png", png(COLOURS[colour], number)))
            members.append((f"{number:06}.txt", f"{colour} {number}".encode()))
            number += 1
        layouts.tar(root / f"{shard:03}.tar", members)
    return root


@pytest.fixture
def streamed(recipe):
    """A recipe for a stream."""

    def make(**given):
        return recipe(stream=True, **{"steps": 6, **given}).filled(heads_only=False)

    return make


def told(batches):
    return [
        (batch.image_ids.tolist(), batch.text_ids.tolist(), batch.pictures.double().sum().item())
        for batch in batches
    ]


OTHERWISE = {
    "columns": (
        {"columns": Columns(caption="alt")},
        r"the columns of the split 'train' are others",
    ),
    "split": ({"split": "test"}, r'the split of the data .train. was "train" and is "test"'),
    "block": ({"block": 5}, r"the block of the data .train. was 4 and is 5"),
    "seed": ({"seed": 1}, r"the seed of the data .train. was 0 and is 1"),
}


@pytest.mark.parametrize("other", OTHERWISE)
def test_a_run_goes_on_from_the_same_stream_or_not(model, streamed, tmp_path, other):
    given, said = OTHERWISE[other]
    root = shards(tmp_path / "shards", (8, 8))
    asked = streamed(steps=4, checkpoint={"steps": 2})
    train(model("full"), stream(root, block=4, split="train"), asked, folder=tmp_path / "run")
    with pytest.raises(CheckpointError, match=said):
        train(
            model("full"),
            stream(root, **{"block": 4, "split": "train", **given}),
            asked,
            folder=tmp_path / "run",
            resume=True,
        )


@pytest.mark.parametrize("sizes", [(23,), (5, 9, 9), (2, 3, 1, 4, 2, 3, 1, 2, 3, 2)])
def test_each_pair_once_an_epoch_and_epochs_follow_on_one_another(model, streamed, tmp_path, sizes):
    shards(tmp_path, sizes)
    feed = StreamFeed(model("full"), stream(tmp_path, block=4), streamed(batch_size=5))
    ids = torch.cat(
        [batch.image_ids for batch in feed.batches(range(14))]
    ).tolist()  # 70 = 3 * 23 + 1
    for epoch in range(3):
        assert len(set(ids[23 * epoch : 23 * epoch + 23])) == 23
    assert ids[:23] != ids[23:46]
    assert set(Counter(ids[:69]).values()) == {3}


@pytest.mark.parametrize("sizes", [(23,), (4, 7, 3, 9)])
def test_any_workers_give_the_same_and_it_goes_on_from_any_place(model, streamed, tmp_path, sizes):
    shards(tmp_path, sizes)
    built = model("full", "full")
    made = stream(tmp_path, block=3, seed=5)
    augmented = {"augmentation": {"flip": 0.5, "colour_jitter": {"brightness": 0.5}}}

    def feed(workers):
        return StreamFeed(built, made, streamed(batch_size=5, workers=workers, **augmented))

    batches = list(feed(0).batches(range(11)))
    assert told(feed(2).batches(range(11))) == told(batches)
    assert told(feed(0).batches(range(4, 11))) == told(batches[4:])
    for step in (1, 4, 5, 9):  # also where an epoch ends within a batch
        place = batches[step - 1].place
        assert told(feed(0).batches(range(step, 11), place)) == told(batches[step:])
    assert len({str(each) for each in told(batches)}) == 11


def test_a_share_of_processes_is_a_slice_of_the_batch(model, streamed, tmp_path):
    """Whatever the number of processes; that they work together is tested with the loop."""
    shards(tmp_path, (4, 7, 3, 9))
    feed = StreamFeed(model("full"), stream(tmp_path, block=3), streamed(batch_size=5))
    whole = list(feed._sampled(range(6), None, deque()))
    parts = []
    for rank in range(3):
        feed.processes.count, feed.processes.rank = 3, rank
        parts.append(list(feed._sampled(range(6), None, deque())))
    assert [list(chain(*shares)) for shares in zip(*parts, strict=True)] == whole


def test_captions_are_drawn_anew_each_epoch(model, streamed, tmp_path):
    layouts.as_parquet(tmp_path)
    feed = StreamFeed(model("full"), stream(tmp_path), streamed(batch_size=layouts.COUNT))
    first, second, third = feed.batches(range(3))
    seen = [
        dict(zip(batch.image_ids.tolist(), batch.text_ids.tolist(), strict=True))
        for batch in (first, second, third)
    ]
    assert seen[0].keys() == seen[1].keys() == seen[2].keys()
    assert seen[0] != seen[1] != seen[2]
    assert len({text for each in seen for text in each.values()}) > layouts.COUNT


def test_epochs_are_counted_and_steps_are_not(model, streamed, recipe, tmp_path):
    shards(tmp_path, (9, 14))
    made = stream(tmp_path)
    counted = recipe(stream=True, epochs=3, batch_size=5).filled(heads_only=False)
    assert StreamFeed(model("full"), made, counted).steps_per_epoch == 4
    assert StreamFeed(model("full"), made, streamed(steps=200)).steps_per_epoch == 10
    assert StreamFeed(model("full"), made, streamed(epoch_steps=7)).steps_per_epoch == 7


@pytest.mark.parametrize(("image_train", "text_train"), [("full", "frozen"), ("head", "full")])
def test_it_trains(model, recipe, tmp_path, image_train, text_train):
    """Also with frozen encoders, which run at each step, and with a batch in parts."""
    shards(tmp_path, (9, 12))
    built = model(image_train, text_train, {"loss": "siglip"})
    epochs = []
    chosen = {"accumulation": 2, "batch_norm": "frozen", "augmentation": {"flip": 0.5}}
    used = train(
        built,
        stream(tmp_path, block=8),
        recipe(stream=True, epochs=5, batch_size=7, **chosen),
        on_epoch=epochs.append,
        judge=lambda: {"asked": 1.0},
    )
    assert used.sampling == "pair"
    assert len(epochs) == 5
    assert epochs[-1].loss < 0.9 * epochs[0].loss
    assert built.text_encoder.encoder.calls == (15 if text_train == "frozen" else 60)


def test_a_picture_that_cannot_be_read_is_skipped(model, streamed, tmp_path):
    shards(tmp_path, (9, 10))
    layouts.tar(tmp_path / "last.tar", [("bad.png", b"no picture"), ("bad.txt", b"gold")])
    built = model("full")
    feed = StreamFeed(built, stream(tmp_path), streamed(batch_size=5, unreadable=0.1))
    batches = list(feed.batches(range(8)))
    assert sorted(len(batch) for batch in batches) == [4, 4, *[5] * 6]
    assert (feed.unreadable.seen, feed.unreadable.count) == (40, 2)
    assert {each.reason.split(": ")[0] for b in batches for each in b.unread} == {
        str(tmp_path / "last.tar/bad.png")
    }
    with pytest.raises(DataError, match=r"more than 1.0% of the pictures.*\n2 of 40 pictures"):
        list(StreamFeed(built, stream(tmp_path), streamed(batch_size=5)).batches(range(8)))


def test_what_a_stream_cannot_do(model, recipe, streamed, tmp_path, pairs):
    shards(tmp_path / "shards", (3, 4))
    made = stream(tmp_path / "shards")
    built = model("full")
    with pytest.raises(
        SpecError, match=r"train.teacher: a stream keeps no embeddings of a teacher"
    ):
        StreamFeed(built, made, streamed(), teacher=built)
    with pytest.raises(DataError, match="has 7 pairs to train with, fewer than one batch of 8"):
        train(built, made, recipe(stream=True, epochs=1, batch_size=8))
    with pytest.raises(DataError, match="fewer pairs to train with than one batch of 20"):
        train(built, made, recipe(stream=True, steps=1, batch_size=20, schedule={"warmup": 0}))
    with pytest.raises(SpecError, match=r"train.stream is false, and the pairs are a stream"):
        train(built, made, recipe())
    with pytest.raises(SpecError, match=r"train.stream is true, and the pairs are a list"):
        train(built, pairs, recipe(stream=True))
    layouts.tar(tmp_path / "empty.tar", [("a.txt", b"no picture")])
    with pytest.raises(DataError, match="the stream has no pairs to train with"):
        train(built, stream(tmp_path / "empty.tar"), recipe(stream=True, steps=1))
    place = {"epoch": 0, "turn": 0, "lanes": {"5": None}}
    with pytest.raises(DataError, match=r"6 or more shards side by side, and now there are 2"):
        list(StreamFeed(built, made, streamed()).batches(range(1, 2), place))


def test_recipes_of_streams():
    with pytest.raises(ValueError, match='knows no concepts; say sampling = "pair"'):
        Recipe.model_validate({"stream": True, "sampling": "concept"})
    with pytest.raises(ValueError, match="epoch_steps is for a stream"):
        Recipe.model_validate({"epoch_steps": 5})
    assert Recipe(stream=True).filled(heads_only=True).sampling == "pair"


def test_it_holds_no_list(tmp_path):
    """What is held does not depend on how many pairs there are."""
    picture = png(COLOURS["red"], 0)

    def held(count):
        root = tmp_path / str(count)
        for shard in range(2):
            layouts.tar(
                root / f"{shard}.tar",
                [
                    member
                    for number in range(shard, count, 2)
                    for member in ((f"{number}.png", picture), (f"{number}.txt", b"red"))
                ],
            )
        sequence = Interleaved(stream(root, block=64), 2, None)
        tracemalloc.start()
        try:
            for _ in range(count + 100):
                next(sequence)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    held(200)  # what is imported on the way
    assert held(2000) < held(400) + 100_000  # the 1,600 more of a list take 1 MB
