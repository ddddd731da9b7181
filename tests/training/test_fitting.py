"""Heads that are solved before the first step of training."""

import pytest
import torch
import torch.nn.functional as F
from shades import png

import layouts
import zoo
from zoo.data.stream import stream
from zoo.errors import SpecError
from zoo.folder import SessionComponentWarning
from zoo.folder.half import round_to_half
from zoo.training.cut import cut
from zoo.training.features import image_features, text_features
from zoo.training.feed import Feed
from zoo.training.fitting import check_fitting
from zoo.training.loop import train
from zoo.training.run_folder import RunFolder

SOLVED = {
    "image.encoder.args.image_size": 32,
    "image.head": {"name": "kernel", "args": {"landmarks": 32, "rank": 8}},
    "text.head": "whiten",
    "embedding_dim": 16,
}


BOTH_WAYS = {
    **SOLVED,
    "image.head": {"name": "two-way-kernel", "args": {"landmarks": 32, "rank": 8, "power": 0.5}},
    "text.head": {"name": "two-way-kernel", "args": {"landmarks": 32, "rank": 6}},
    "embedding_dim": 14,
}


def shard(path, pairs):
    members = []
    for number in range(pairs):
        members.append((f"{number:06}.png", png((10 * number, 0, 0), number)))
        members.append((f"{number:06}.txt", f"picture {number}".encode()))
    layouts.tar(path, members)


class BreakOff:
    """Ends a run as a crash would, after its second step."""

    def __call__(self, step):
        if step.number == 2:
            raise KeyboardInterrupt


@pytest.fixture
def solved(model):
    def build(image="head", text="frozen", **changes):
        return model(image, text, {**SOLVED, **changes})

    return build


@pytest.fixture
def both_ways(model):
    def build(image="frozen", text="frozen", **changes):
        return model(image, text, {**BOTH_WAYS, **changes})

    return build


def heads(model):
    return [model.image_encoder.head, model.text_encoder.head]


def state(model):
    return {name: each.clone() for name, each in model.state_dict().items()}


def test_both_heads_are_solved_from_the_first_captions(solved, pairs, recipe):
    model = solved()
    train(model, pairs, recipe(steps=1, optimizer={"learning_rate": 1e-9}))
    images = image_features(model, [pair.picture for pair in pairs])[range(len(pairs))]
    texts = text_features(model, [pair.captions[0] for pair in pairs])[range(len(pairs))]
    image_head, text_head = heads(solved())
    text_head.fit(texts)
    image_head.fit(images, F.normalize(text_head(texts), dim=-1))
    for found, expected in zip(heads(model), (image_head, text_head), strict=True):
        assert found.fitted
        for name, buffer in expected.named_buffers():
            torch.testing.assert_close(getattr(found, name), buffer, atol=1e-5, rtol=1e-4)


def test_heads_that_predict_each_other(both_ways, pairs, recipe, tmp_path):
    built = both_ways()
    temperature = built.loss.logit_scale.item()
    train(built, pairs, recipe(steps=1))
    assert built.loss.logit_scale.item() != temperature
    images = image_features(built, [pair.picture for pair in pairs])[range(len(pairs))]
    texts = text_features(built, [pair.captions[0] for pair in pairs])[range(len(pairs))]
    expected = dict(zip(("image", "text"), heads(both_ways()), strict=True))
    expected["image"].settle(images)
    expected["text"].settle(texts)
    expected["image"].fit(images, expected["text"].place(texts), "image")
    expected["text"].fit(texts, expected["image"].place(images), "text")
    for found, head in zip(heads(built), expected.values(), strict=True):
        assert found.fitted
        for name, buffer in head.named_buffers():
            torch.testing.assert_close(getattr(found, name), buffer, atol=1e-4, rtol=1e-3)
    with torch.no_grad():
        image, text = heads(built)[0](images), heads(built)[1](texts)
    torch.testing.assert_close(image[:, :8], heads(built)[0].place(images))
    torch.testing.assert_close(text[:, 8:], heads(built)[1].place(texts))
    with pytest.warns(SessionComponentWarning):
        again = zoo.load(zoo.save(built, tmp_path / "model"))
    torch.testing.assert_close(heads(again)[1](texts), text, atol=0, rtol=0)


def test_what_is_said_of_heads_that_predict_each_other(both_ways, pairs, recipe):
    built = both_ways()
    heads(built)[1].fitted.fill_(True)
    with pytest.raises(
        SpecError, match=r"image.head: .* the text head is fitted already; start fr"
    ):
        train(built, pairs, recipe(steps=1))
    built = both_ways(**{"loss.args.learnable": False})
    with pytest.raises(SpecError, match="heads are solved, and nothing is left that steps could"):
        train(built, pairs, recipe(steps=1))


def test_a_pair_that_was_solved_trains_its_temperature_on(both_ways, pairs, recipe):
    built = both_ways()
    train(built, pairs, recipe(steps=1))
    before, temperature = state(built), built.loss.logit_scale.item()
    train(built, pairs[:6], recipe(steps=1))
    assert all(torch.equal(each, before[name]) for name, each in state(built).items())
    assert built.loss.logit_scale.item() != temperature


def test_a_pair_is_checked_on_the_device_where_it_is(both_ways, monkeypatch):
    built = both_ways()
    asked = []
    for head in heads(built):
        place = head.place
        monkeypatch.setattr(head, "place", lambda x, place=place: (asked.append(x), place(x))[1])
    built.double()
    check_fitting(built, streamed=False)
    assert {each.dtype for each in asked} == {torch.float64}


def test_a_head_is_solved_once(solved, pairs, recipe):
    model = solved()
    train(model, pairs, recipe(steps=1))
    before = state(model)
    train(model, pairs[:6], recipe(steps=1))
    same = [name for name, each in state(model).items() if torch.equal(each, before[name])]
    assert {"image_encoder.head.values", "image_encoder.head.landmarks"} <= set(same)
    assert "image_encoder.head.gain" not in same


@pytest.mark.parametrize("kind", ["solved", "both_ways"])
def test_a_run_that_is_resumed_has_the_same_bits(kind, request, pairs, recipe, tmp_path):
    solved = request.getfixturevalue(kind)
    asked = recipe(steps=4, checkpoint={"steps": 1})
    whole, broken, resumed = solved(), solved(), solved()
    train(whole, pairs, asked, folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(broken, pairs, asked, folder=tmp_path / "run", on_step=BreakOff())
    train(resumed, pairs, asked, folder=tmp_path / "run", resume=True)
    one, other = state(whole), state(resumed)
    assert all(torch.equal(one[name], other[name]) for name in one)
    logs = [RunFolder(tmp_path / name).log.read_bytes() for name in ("whole", "run")]
    assert logs[0] == logs[1]


def test_a_run_goes_on_where_heads_would_be_solved_to_other_bits(
    solved, pairs, recipe, tmp_path, monkeypatch
):
    asked = recipe(steps=4, checkpoint={"steps": 1})
    broken, resumed = solved(), solved()
    with pytest.raises(KeyboardInterrupt):
        train(broken, pairs, asked, folder=tmp_path / "run", on_step=BreakOff())
    rows = Feed.first_rows

    def elsewhere(feed):
        images, texts, *numbers = rows(feed)
        return images[range(len(images))] * 1.001, texts[range(len(texts))] * 1.1 + 1e-3, *numbers

    monkeypatch.setattr(Feed, "first_rows", elsewhere)
    train(resumed, pairs, asked, folder=tmp_path / "run", resume=True)
    for one, other in zip(heads(broken), heads(resumed), strict=True):
        for name, buffer in one.named_buffers():
            assert torch.equal(buffer, getattr(other, name))


def test_an_image_head_may_be_whitened(solved, pairs, recipe):
    changes = {"image.head": "whiten", "text.head": "linear", "embedding_dim": 96}
    model = solved("head", "head", **changes)
    train(model, pairs, recipe(steps=1))
    assert model.image_encoder.head.fitted


def test_what_is_saved_in_half_the_space_is_what_was_rounded(solved, pairs, recipe, tmp_path):
    model = solved()
    train(model, pairs, recipe(steps=1))
    round_to_half(model)
    with pytest.warns(SessionComponentWarning):
        again = zoo.load(zoo.save(model, tmp_path / "model", half=True))
    before, after = state(model), state(again)
    assert all(torch.equal(after[name], each) for name, each in before.items())
    assert not torch.equal(before["text_encoder.head.map"], torch.eye(16))


@pytest.mark.parametrize(
    ("image", "text", "changes", "said"),
    [
        ("full", "frozen", {}, r"image.head: 'kernel' is fitted .* the image encoder trains; set "),
        (
            "head",
            "full",
            {"text.head": "identity"},
            "image.head: 'kernel' .* the text encoder trains",
        ),
        ("head", "full", {}, "text.head: 'whiten' .* the text encoder trains; set text.train"),
        ({"last": 1}, "frozen", {}, "image.head: 'kernel' .* the image encoder trains; set image"),
        (
            "head",
            "head",
            {"text.head": "linear"},
            'image.head: .* the text head, which it is solved towards, trains; set text.train = "f',
        ),
        (
            "head",
            "frozen",
            {"text.head": "kernel", "image.head": "linear"},
            "text.head: 'kernel' .* towards the embeddings of captions; make it the image head",
        ),
        (
            "head",
            "frozen",
            {**BOTH_WAYS, "text.head": "linear"},
            "image.head: 'two-way-kernel' .* of its kind; choose another text.head too",
        ),
        (
            "head",
            "frozen",
            {**BOTH_WAYS, "text.head": "whiten", "embedding_dim": 16},
            "image.head: 'two-way-kernel' .* of its kind; choose another text.head too",
        ),
        (
            "frozen",
            "frozen",
            {**BOTH_WAYS, "embedding_dim": 15},
            r"text.head: .* ranks of 6 \(text\) and 8 \(image\) make 14; say so as embedding_dim",
        ),
    ],
)
def test_what_cannot_be_solved(solved, pairs, recipe, image, text, changes, said):
    model = solved(image, text, **changes)
    with pytest.raises(SpecError, match=said):
        train(cut(model, recipe(steps=1)), pairs, recipe(steps=1))
    assert not any(getattr(head, "fitted", False) for head in heads(model))


def test_a_stream_keeps_no_features(solved, recipe, tmp_path):
    shard(tmp_path / "000.tar", 8)
    model = solved()
    with pytest.raises(SpecError, match=r"text.head: 'whiten' .* a stream keeps no features"):
        train(model, stream(tmp_path), recipe(steps=1, stream=True))
