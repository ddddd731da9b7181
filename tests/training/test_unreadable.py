"""Pictures that cannot be read: the run goes on without them, counts and names them, or ends."""

import pytest
import torch

from zoo.errors import DataError
from zoo.evaluation.judge import Judge
from zoo.training.features import image_features
from zoo.training.feed import Feed
from zoo.training.loop import train


def spoil(pairs, *numbers):
    for number in numbers:
        pairs[number].picture.write_text(f"no picture {number}")


def fed(built, pairs, chosen, epochs=2):
    feed = Feed(built, pairs, chosen.filled(heads_only=True))
    steps = range(epochs * feed.order.steps_per_epoch)
    return feed, [
        (feed.order.step(step), batch)
        for step, batch in zip(steps, feed.batches(steps), strict=True)
    ]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_is_smaller_by_what_it_lacks(model, pairs, recipe, workers):
    spoil(pairs, 3, 7)
    chosen = recipe(sampling="pair", workers=workers, unreadable=0.2)
    whole = fed(model("full"), [pair for n, pair in enumerate(pairs) if n not in (3, 7)], chosen)[0]
    feed, batches = fed(model("full"), pairs, chosen)
    assert [len(batch) + len(batch.unread) for _, batch in batches] == [4] * 6
    for draws, batch in batches:
        kept = [index for index in draws.pairs if index not in (3, 7)]
        assert batch.image_ids.tolist() == kept
        for index, seed, picture in zip(
            kept, draws.seeds[[i not in (3, 7) for i in draws.pairs]], batch.pictures, strict=True
        ):
            assert torch.equal(picture, whole._augment.read(pairs[index].picture, int(seed)))
    lacked = [each.reason for _, batch in batches for each in batch.unread]
    for n in (3, 7):
        assert sum(str(pairs[n].picture) in reason for reason in lacked) == 2
    assert (feed.unreadable.seen, feed.unreadable.count) == (24, 4)
    assert str(feed.unreadable).startswith("4 of 24 pictures could not be read:\n")


@pytest.mark.parametrize("image_train", ["full", "head"])
def test_more_than_is_borne_end_the_run_with_the_report(model, pairs, recipe, image_train):
    """Even if the epoch is shorter than what a share is judged by elsewhere."""
    spoil(pairs, 3, 7)
    steps = []
    with pytest.raises(DataError) as caught:
        train(
            model(image_train),
            pairs,
            recipe(sampling="pair", unreadable=0.1, epochs=2),
            on_step=steps.append,
        )
    first, second, *named = str(caught.value).splitlines()
    assert first == "more than 10.0% of the pictures cannot be read."
    assert second == "2 of 12 pictures could not be read:"
    for n, line in zip((7, 3), sorted(named), strict=True):
        assert line.startswith(f"  {pairs[n].picture}: not a whole picture")
    assert len(steps) == (2 if image_train == "full" else 0)


@pytest.mark.parametrize("image_train", ["full", "head"])
def test_fewer_are_borne_and_it_learns(model, pairs, recipe, image_train):
    spoil(pairs, 3)
    built = model(image_train)
    readable = [pair for n, pair in enumerate(pairs) if n != 3]
    epochs = []
    train(built, pairs, recipe(sampling="pair", unreadable=0.1, epochs=12), on_epoch=epochs.append)
    assert epochs[-1].loss < 0.8 * epochs[0].loss
    assert Judge(built, readable).recall().image_to_text[1] == 1.0


def test_features_of_the_others_are_what_they_would_be_alone(model, pairs):
    """Also of those that came to a batch with a picture that could not be read."""
    built = model()
    some = [each.picture for each in pairs]
    expected = image_features(model("full"), some).tensor()  # not kept
    spoil(pairs, 0, 5)
    pairs[6].picture.write_bytes(pairs[5].picture.read_bytes())
    pairs[9].picture.unlink()
    for train_mode in ("head", "full"):
        unread = {}
        built = model(train_mode)
        for _ in range(2):  # computed, then found
            unread.clear()
            found = image_features(built, some, unread=unread)
            assert sorted(unread) == [0, 5, 6, 9]
            kept = [n for n in range(12) if n not in unread]
            torch.testing.assert_close(found.tensor(), expected[kept], rtol=1e-4, atol=1e-5)
    with pytest.raises(DataError, match=r"red-0.png: not a whole picture"):
        image_features(built, some[:3])


def test_a_copy_of_a_picture_that_cannot_be_read_is_named_too(model, pairs):
    spoil(pairs, 5)
    pairs[6].picture.write_bytes(pairs[5].picture.read_bytes())
    unread = {}
    image_features(model(), [pair.picture for pair in pairs], unread=unread)
    assert unread[5].reason.startswith(f"{pairs[5].picture}: not a whole picture")
    assert unread[6].reason == f"{pairs[6].picture}: a copy of {unread[5].reason}"


@pytest.mark.parametrize("train_mode", ["head", "full"])
def test_no_picture_at_all(model, pairs, recipe, train_mode):
    spoil(pairs, *range(12))
    pictures = [pair.picture for pair in pairs]
    with pytest.raises(DataError, match=r"no picture can be read; the first: .*red-0.png: not a"):
        image_features(model(train_mode), pictures, unread={})
    for picture in pictures:
        picture.unlink()
    with pytest.raises(DataError, match=r"no picture can be read; the first: .*red-0.png: "):
        image_features(model(), pictures, unread={})
    with pytest.raises(DataError, match=r"no picture of a batch can be read.\n4 of 4 pictures"):
        train(model("full"), pairs, recipe(unreadable=1.0))


def test_evaluation_bears_the_same_share(model, pairs):
    spoil(pairs, 0)
    readable = [pair for n, pair in enumerate(pairs) if pair.concept != "red"]
    built = model("full")
    judge = Judge(built, pairs, unreadable=0.3)
    assert judge.recall() == Judge(built, readable).recall() == judge.recall()
    with pytest.raises(DataError, match=r"more than 20.0% of the pictures.*\n1 of 4 pictures"):
        Judge(built, pairs, unreadable=0.2).recall()
    with pytest.raises(DataError, match=r"red-0.png: not a whole picture"):
        Judge(built, pairs).recall()


def test_a_teacher_and_a_student_leave_out_the_same(model, pairs, recipe):
    spoil(pairs, 3)
    changes = {"loss": "distillation"}
    for image_train in ("head", "full"):
        steps = []
        train(
            model(image_train, changes=changes),
            pairs,
            recipe(sampling="pair", epochs=1, unreadable=0.1),
            teacher=model("frozen", "frozen"),
            on_step=steps.append,
        )
        assert len(steps) == 2  # of 11 pairs
