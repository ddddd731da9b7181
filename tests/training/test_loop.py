"""Training as a whole: it learns, repeats itself bit for bit, and runs frozen parts once."""

import importlib
import subprocess
import sys

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

import zoo
from zoo.errors import DataError, MissingExtraError, SpecError, TowerError
from zoo.evaluation.judge import Judge
from zoo.training.execution import repeatable
from zoo.training.loop import train


def weights(model):
    return torch.cat([each.detach().flatten() for each in model.parameters()])


@pytest.mark.parametrize(
    ("image_train", "text_train"),
    [
        ("head", "frozen"),
        ("full", "frozen"),
        ("head", "full"),
        ({"last": 1}, "frozen"),
        ({"lora": {"rank": 2}}, "frozen"),
    ],
)
def test_it_learns_whatever_trains(model, pairs, recipe, image_train, text_train):
    built = model(image_train, text_train)
    epochs = []
    train(built, pairs, recipe(), on_epoch=epochs.append)
    assert epochs[-1].loss < 0.3 * epochs[0].loss
    assert Judge(built, pairs).recall().image_to_text[1] == 1.0
    assert not built.training


AUGMENTED = {"crop": {"scale": [0.5, 1.0]}, "flip": 0.5, "colour_jitter": {"hue": 0.1}}


@pytest.mark.parametrize("image_train", ["head", "full"])
def test_the_same_recipe_gives_the_same_weights(model, pairs, recipe, image_train):
    augmentation = AUGMENTED if image_train == "full" else {}
    changes = {"image.head.args.dropout": 0.3}

    def trained(**given):
        built = model(image_train, "full", changes)
        train(built, pairs, recipe(epochs=2, augmentation=augmentation, **given))
        return weights(built), built.loss.logit_scale.item()

    first, scale = trained(seed=1)
    again, scale_again = trained(seed=1, workers=2)
    assert torch.equal(first, again)
    assert scale == scale_again
    assert not torch.equal(first, trained(seed=2)[0])
    assert not torch.equal(first, trained(seed=1, data_seed=2)[0])


def test_the_recipe_of_the_spec_is_the_default(model, pairs, recipe):
    chosen = recipe(epochs=1, seed=4)
    built, other = model(), model()
    built.spec = built.spec.model_copy(update={"train": chosen})
    used = train(built, pairs)
    assert used == chosen.filled(heads_only=True)
    train(other, pairs, chosen)
    assert torch.equal(weights(built), weights(other))


def test_what_is_left_open_depends_on_what_trains(model):
    head, full = model().spec, model("full").spec
    assert head.heads_only
    assert not full.heads_only
    for spec, expected in ((head, (200, 512, 1e-3)), (full, (10, 32, 1e-4))):
        filled = spec.train.filled(heads_only=spec.heads_only)
        assert (filled.epochs, filled.batch_size, filled.optimizer.learning_rate) == expected
        assert filled.data_seed == 0


def test_a_frozen_text_tower_runs_once_for_each_caption(model, pairs, recipe):
    first, second = model("full", "frozen"), model("full", "frozen")
    told = []
    train(
        first,
        pairs,
        recipe(epochs=4),
        progress=lambda title, done, total: told.append((title, done, total)),
    )
    captions = {caption for pair in pairs for caption in pair.captions}
    assert [each for each in told if each[0] == "text features"][-1][1:] == (len(captions),) * 2
    assert first.text_encoder.encoder.calls == 3  # texts of two lengths, and a check
    train(second, pairs, recipe(epochs=2, seed=5))
    assert second.text_encoder.encoder.calls == 0


def test_frozen_weights_do_not_move(model, pairs, recipe):
    built = model()
    before = {
        name: tensor.clone() for name, tensor in built.image_encoder.encoder.state_dict().items()
    }
    train(built, pairs, recipe(epochs=3))
    for name, tensor in built.image_encoder.encoder.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_frozen_batch_norms_keep_their_statistics(model, pairs, recipe):
    def moved(**given):
        built = model("full")
        before = built.image_encoder.encoder.backbone.bn1.running_mean.clone()
        train(built, pairs, recipe(epochs=2, **given))
        assert not torch.equal(weights(built), weights(model("full")))
        return not torch.equal(built.image_encoder.encoder.backbone.bn1.running_mean, before)

    assert moved()
    assert not moved(batch_norm="frozen")


def test_metrics_are_asked_for_and_told(model, pairs, recipe):
    epochs, steps, told = [], [], []
    train(
        model(),
        pairs,
        recipe(epochs=4, sampling="pair", evaluation={"every": 3}),
        judge=lambda: {"recall": 0.5},
        on_epoch=epochs.append,
        on_step=steps.append,
        progress=lambda title, done, total: told.append((title, done, total)),
    )
    assert [each for each in told if each[0] == "training"] == [
        ("training", done, 12) for done in range(1, 13)
    ]
    assert [each.metrics for each in epochs] == [None, None, {"recall": 0.5}, {"recall": 0.5}]
    assert [each.number for each in steps] == list(range(1, 13))
    for number, epoch in enumerate(epochs):
        losses = [each.outcome.loss for each in steps[3 * number : 3 * number + 3]]
        assert epoch.loss == pytest.approx(sum(losses) / 3)


def test_a_length_in_steps(model, pairs, recipe):
    epochs, steps = [], []
    train(
        model(),
        pairs,
        recipe(steps=5, sampling="pair"),
        judge=lambda: {"recall": 0.5},
        on_epoch=epochs.append,
        on_step=steps.append,
    )
    assert len(steps) == 5
    assert [(each.epoch, each.epochs) for each in epochs] == [(1, 2), (2, 2)]
    assert epochs[-1].metrics == {"recall": 0.5}


COMPILED = """
import torch, zoo
from torch import nn
from torch._inductor import config
from zoo.training.execution import compiled

config.cpp_cache_precompile_headers = False  # which takes longer than it saves here

class Small(nn.Sequential):
    out_dim, preprocess = 8, zoo.Preprocess(16, (16, 16), "bilinear", (0.5,) * 3, (0.5,) * 3)

    def __init__(self, *, weights=None):
        super().__init__(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )

zoo.register("image_encoder", "small", Small)
model = zoo.build(
    "resnet50-clip", pretrained=False, towers=("image",), overrides={"image.encoder": "small"}
)
images = torch.randn(2, 3, 16, 16)
plain = model.encode_image(images)
with compiled(model, True):
    assert model.image_encoder.encoder._compiled_call_impl is not None
    found = model.encode_image(images)
    found.sum().backward()
assert model.image_encoder.encoder._compiled_call_impl is None
model.image_encoder.head.takes_tokens = True
model.image_encoder.encoder.forward_tokens = model.image_encoder.encoder.forward
with compiled(model, True):
    assert hasattr(model.image_encoder.encoder.forward_tokens, "get_compiler_config")
    torch.testing.assert_close(model.encode_image(images), plain, rtol=1e-4, atol=1e-4)
assert model.image_encoder.encoder.forward_tokens == model.image_encoder.encoder.forward
torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-4)
print("alike")
"""


@pytest.mark.long
def test_compiled_encoders_give_the_same():
    """In a process of its own: the checks of shapes that tests run with do not compile."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True)
    assert done.stdout == "alike\n", done.stderr


def test_what_would_not_be_compiled_is_refused(model, pairs, recipe):
    with pytest.raises(
        SpecError, match=r"train.compile: encoders that train are compiled, and both"
    ):
        train(model("head", "frozen"), pairs, recipe(compile=True))


def test_what_a_gpu_cannot_repeat_is_told():
    torch_says = (
        "adaptive_avg_pool2d_backward_cuda does not have a deterministic implementation, but you set "
        "'torch.use_deterministic_algorithms(True)'. You can turn off determinism just for this"
    )
    with (
        pytest.raises(
            SpecError,
            match=r"on cuda torch .*: adaptive_avg_pool2d_backward_cuda does not have a deterministic "
            r"implementation. Let the encoder stand still",
        ),
        repeatable(torch.device("cuda")),
    ):
        raise RuntimeError(torch_says)
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(RuntimeError, match="out of memory"), repeatable(torch.device("cuda")):
        raise RuntimeError("out of memory")


def test_what_cannot_train(model, pairs, recipe):
    with pytest.raises(
        SpecError, match=r"nothing in this model trains; set image.train or text.train"
    ):
        train(model("frozen", "frozen"), pairs, recipe())
    with pytest.raises(DataError, match="contrasts pictures with one another, and the split has 1"):
        train(model(), pairs[:2], recipe())
    only_image = zoo.build(model().spec, towers=("image",))
    with pytest.raises(TowerError, match="training takes both towers"):
        train(only_image, pairs, recipe())
    with pytest.raises(SpecError, match=r"train.augmentation: the image encoder is frozen, so"):
        train(model(), pairs, recipe(augmentation={"flip": 0.5}))
    with pytest.raises(
        SpecError, match=r"train.schedule.warmup: 50 steps of warm-up, and the run has 5; shorten"
    ):
        train(model(), pairs, recipe(steps=5, schedule={"warmup": 50}))


@pytest.mark.parametrize("mode", ["head", {"last": 1}])
def test_what_was_unfrozen_by_hand_is_refused(model, pairs, recipe, mode):
    """A tower runs what it was built with as frozen without gradients, whatever a parameter asks for."""
    built = model(mode)
    built.image_encoder.encoder.requires_grad_(True)
    with pytest.raises(
        SpecError,
        match=r"^image\.encoder\.\S+ requires a gradient, and gets none: its tower was built with "
        r"image\.encoder\S* frozen; say what trains as the spec does, with image\.train = { last = 2 }",
    ):
        train(built, pairs, recipe())


def test_a_loss_that_is_not_finite_updates_nothing(model, pairs, recipe):
    exploding = model()
    exploding.loss.logit_scale.data.fill_(float("nan"))
    before = weights(exploding)
    with pytest.raises(
        DataError, match=r"step 1: the loss is nan; a lower learning rate than 0.003"
    ):
        train(exploding, pairs, recipe())
    assert torch.equal(weights(exploding), before)
    assert not any(each.training for each in exploding.modules())


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_that_cannot_be_read_is_named(model, pairs, recipe, workers):
    pairs[3].picture.write_text("no picture")
    said = r"^more than 1.0% of the pictures cannot.*\n1 of 12 .*\n  [^\n]*green-0.png: not a whole"
    with pytest.raises(DataError, match=said):
        train(model("full"), pairs, recipe(workers=workers, sampling="pair"))


def test_without_the_train_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    for name in ("zoo.training.loop", "zoo.training.processes"):
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(
        MissingExtraError, match=r"needs accelerate: pip install 'clip-zoo\[train\]'"
    ):
        importlib.import_module("zoo.training.loop")


def test_a_teacher_is_one_that_the_loss_learns_from(model, pairs, recipe):
    """Said before any of its features is computed."""
    teacher = model("frozen", "frozen")
    with pytest.raises(SpecError, match=r"train.teacher: InfoNCELoss learns from no teacher"):
        train(model(), pairs, recipe(), teacher=teacher)
    with pytest.raises(
        SpecError, match=r"DistillationLoss learns from a teacher, and there is none"
    ):
        train(model(changes={"loss": "distillation"}), pairs, recipe())


def test_an_accelerator_of_another_kind_is_told(model, pairs, recipe):
    """As one that a notebook made before."""
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        Accelerator(cpu=True, mixed_precision="bf16")
        with pytest.raises(
            SpecError, match=r"has an Accelerator of another .* with mixed_precision"
        ):
            train(model(), pairs, recipe(steps=1))
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
