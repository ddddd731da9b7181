"""A batch in parts gives the gradients of the whole batch; what makes that untrue is refused."""

import random

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from zoo.errors import DataError, SpecError
from zoo.training.feed import Batch, Feed
from zoo.training.optimizer import make_optimizer, make_schedule
from zoo.training.step import Stepper


def gradients(built, pairs, recipe, seed=5):
    """What one step adds to every parameter, in float64."""
    used = recipe.filled(heads_only=built.spec.heads_only)
    feed = Feed(built, pairs, used)
    built.double()
    optimizer = make_optimizer(built, used)
    step = Stepper(built, used, optimizer, make_schedule(optimizer, used, 100))
    (batch,) = feed.batches(range(1))
    torch.manual_seed(seed)
    outcome = step(batch)
    named = [*built.named_parameters(), *built.loss.named_parameters()]
    found = {name: each.grad.clone() for name, each in named if each.grad is not None}
    return outcome.loss, found, torch.get_rng_state()


SUM = {"loss": {"name": "info-nce", "args": {"only_image_to_text": True}}}


@pytest.mark.parametrize("accumulation", [2, 5, 12])
@pytest.mark.parametrize(
    ("image_train", "text_train", "changes", "encoded"),
    [
        ("full", "frozen", {}, 24),
        ("full", "full", {}, 24),
        ("head", "full", {}, 0),
        ("full", "frozen", {"loss": "siglip"}, 12),
        ("full", "head", {"loss": "siglip", "text.head": "linear"}, 12),
        ("full", "frozen", SUM, 12),
        ("full", "full", {"loss": "siglip"}, 24),
    ],
)
def test_parts_give_the_gradients_of_the_whole(
    model, pairs, recipe, image_train, text_train, changes, encoded, accumulation
):
    """And a sum over images sends each picture through the encoder once, not twice."""
    given = {
        "sampling": "pair",
        "batch_size": 12,
        "batch_norm": "frozen",
        "precision": "fp32",
        "optimizer": {"clip_norm": None},
    }

    def of(parts):
        built = model(image_train, text_train, changes)
        seen = []
        encoder = built.image_encoder.encoder
        encoder.register_forward_pre_hook(lambda _, images: seen.append(len(images[0])))
        found = gradients(built, pairs, recipe(accumulation=parts, **given))
        return (*found, sum(seen))

    loss, whole, _, _ = of(1)
    loss_of_parts, parts, _, pictures = of(accumulation)
    if encoded:
        assert pictures == encoded
    assert loss_of_parts == pytest.approx(loss, rel=1e-10)
    assert parts.keys() == whole.keys()
    assert "logit_scale" in whole
    for name, gradient in whole.items():
        scale = gradient.abs().max().clamp(min=1e-3)
        assert ((parts[name] - gradient).abs().max() / scale).item() < 1e-8, name


@pytest.mark.parametrize("loss", ["info-nce", "siglip"])
def test_no_part_is_empty(model, pairs, recipe, loss):
    """A split may have fewer pairs than the recipe has parts."""
    given = {"sampling": "pair", "batch_size": 12, "batch_norm": "frozen", "precision": "fp32"}
    few = list(pairs)[:4]
    loss_of_parts, parts, _ = gradients(
        model("full", "frozen", {"loss": loss}), few, recipe(accumulation=12, **given)
    )
    value, whole, _ = gradients(model("full", "frozen", {"loss": loss}), few, recipe(**given))
    assert loss_of_parts == pytest.approx(value, rel=1e-10)
    for name, gradient in whole.items():
        assert torch.allclose(parts[name], gradient, atol=1e-9), name


def test_dropout_is_replayed(model, pairs, recipe):
    """With one part, caching must give exactly what autograd gives, dropout and all."""
    changes = {"image.head.args.dropout": 0.5, "text.encoder.args.dropout": 0.5}
    given = {"sampling": "pair", "batch_size": 12, "batch_norm": "frozen", "precision": "fp32"}
    one, cached = (model("full", "full", changes) for _ in range(2))
    loss, whole, after = gradients(one, pairs, recipe(**given))
    once = recipe(**given)
    original = Stepper._whole
    try:
        Stepper._whole = Stepper._cached
        cached_loss, parts, cached_after = gradients(cached, pairs, once)
    finally:
        Stepper._whole = original
    assert cached_loss == pytest.approx(loss, rel=1e-10)
    assert torch.equal(after, cached_after)
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-8, atol=1e-10)


def test_what_python_and_numpy_drew_is_replayed(model, pairs, recipe):
    """A network may drop layers, or tokens, by their random numbers."""
    built = model("full", "full")
    drawn = []

    def draw(*_):
        drawn.append((random.random(), np.random.rand()))

    built.image_encoder.encoder.register_forward_hook(draw)
    given = {"sampling": "pair", "batch_size": 12, "batch_norm": "frozen", "precision": "fp32"}
    gradients(built, pairs, recipe(accumulation=3, **given))
    assert len(set(drawn)) == 3
    assert drawn[3:] == drawn[:3]


def test_batch_norm_in_parts_is_refused(model, pairs, recipe):
    from zoo.training.loop import train

    with pytest.raises(
        SpecError,
        match=r"train.accumulation: image_encoder.encoder\S* and \d+ more batch norms take .*"
        r'train.batch_norm = "frozen"',
    ):
        train(model("full"), pairs, recipe(accumulation=2))
    train(model("full"), pairs, recipe(accumulation=2, batch_norm="frozen", epochs=1))
    train(model("head"), pairs, recipe(accumulation=2, epochs=1))  # its batch norms stand still


def test_gradients_are_clipped_and_told(model, pairs, recipe):
    from zoo.training.loop import train

    told = []
    chosen = recipe(epochs=1, optimizer={"clip_norm": 1e-3})
    train(model(), pairs, chosen, on_step=told.append)
    assert told[0].outcome.grad_norm > 1e-3
    assert told[0].outcome.temperature == pytest.approx(0.07)
    assert told[0].outcome.learning_rate == pytest.approx(3e-3)


def test_a_batch_that_is_not_finite_changes_nothing(model, pairs, recipe):
    built = model()
    used = recipe().filled(heads_only=True)
    optimizer = make_optimizer(built, used)
    step = Stepper(built, used, optimizer, make_schedule(optimizer, used, 10))
    (batch,) = Feed(built, pairs, used).batches(range(1))
    before = built.image_encoder.head.fc1.weight.clone()
    broken = Batch(**{**vars(batch), "image_features": batch.image_features * float("nan")})
    with pytest.raises(DataError, match=r"the loss is nan; a lower learning rate than 0.003"):
        step(broken)
    assert torch.equal(built.image_encoder.head.fc1.weight, before)


@pytest.mark.parametrize("clip_norm", [1.0, "none"])
def test_gradients_that_are_not_finite_change_nothing(model, pairs, recipe, clip_norm):
    built = model()
    used = recipe(optimizer={"clip_norm": clip_norm}).filled(heads_only=True)
    optimizer = make_optimizer(built, used)
    step = Stepper(built, used, optimizer, make_schedule(optimizer, used, 10))
    (batch,) = Feed(built, pairs, used).batches(range(1))
    weight = built.image_encoder.head.fc1.weight
    before = weight.clone()
    weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(
        DataError, match=r'its gradients have the norm (nan|inf); .*precision = "fp32"'
    ):
        step(batch)
    assert torch.equal(weight, before)


class NoDoubles(TorchDispatchMode):
    """A device without double precision, as Apple's GPUs are."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        if getattr(found, "dtype", None) == torch.float64:
            raise TypeError(f"{function} gives float64")
        return found


@pytest.mark.parametrize(("parts", "loss"), [(1, "info-nce"), (2, "info-nce"), (2, "siglip")])
def test_a_step_takes_no_double_precision(model, pairs, recipe, parts, loss):
    built = model("full", "frozen", {"loss": loss})
    given = {"batch_norm": "frozen", "precision": "fp32", "accumulation": parts}
    used = recipe(**given).filled(heads_only=False)
    optimizer = make_optimizer(built, used)
    step = Stepper(built, used, optimizer, make_schedule(optimizer, used, 10))
    (batch,) = Feed(built, pairs, used).batches(range(1))
    with NoDoubles():
        found = step(batch)
    assert -1 <= found.image_cosine <= 1


@pytest.mark.parametrize("broken", [float("inf"), 1.0])
def test_a_batch_that_is_not_finite_leaves_batch_norms_alone(model, pairs, recipe, broken):
    """Be it an activation that is infinite, or a gradient."""
    built = model("full")
    used = recipe(precision="fp32").filled(heads_only=False)
    optimizer = make_optimizer(built, used)
    step = Stepper(built, used, optimizer, make_schedule(optimizer, used, 10))
    (batch,) = Feed(built, pairs, used).batches(range(1))
    before = {name: each.clone() for name, each in built.named_buffers()}
    encoder = built.image_encoder.encoder
    first = next(each for each in encoder.modules() if isinstance(each, torch.nn.Conv2d))
    hooks = [
        first.register_forward_hook(lambda *given: given[2] * broken),
        next(encoder.parameters()).register_hook(lambda gradient: gradient * float("inf")),
    ]
    with pytest.raises(DataError, match=r"the loss is"):
        step(batch)
    assert all(torch.equal(each, before[name]) for name, each in built.named_buffers())
    for hook in hooks:
        hook.remove()
    step(batch)
    after = dict(built.named_buffers())
    moved = [name for name, each in before.items() if not torch.equal(each, after[name])]
    assert any("running_mean" in name for name in moved)


@pytest.mark.parametrize("changes", [{}, {"loss": "siglip"}])
def test_a_batch_of_fewer_rows_than_parts(model, pairs, recipe, changes):
    """As when pictures of it cannot be read."""
    given = {"sampling": "pair", "batch_norm": "frozen", "precision": "fp32", "batch_size": 4}

    def of(parts):
        built = model("full", "full" if not changes else "frozen", changes)
        return gradients(built, pairs[:3], recipe(accumulation=parts, **given))[:2]

    loss, whole = of(1)
    loss_of_parts, found = of(4)
    assert loss_of_parts == pytest.approx(loss, rel=1e-10)
    for name, gradient in whole.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-8, atol=1e-10)
