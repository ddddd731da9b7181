"""Training on pictures that differ in colour: it learns, repeats itself, and runs frozen parts once."""

import importlib
import sys
from dataclasses import replace

import pytest
import torch
from PIL import Image

import zoo
from zoo.data.pairs import Pair
from zoo.errors import DataError, MissingExtraError, SpecError, TowerError
from zoo.evaluation.judge import Judge
from zoo.training.features import image_features, text_features
from zoo.training.feed import Sampler
from zoo.training.loop import heads_only, train
from zoo.training.recipe import recipe_for

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 60, 220), "grey": (128,) * 3}


class Words(torch.nn.Module):
    """A text encoder of one embedding a word, with a tokenizer of its own."""

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.table = torch.nn.Embedding(64, 16)
        self.out_dim, self.context_length = 16, 4
        self.calls = 0

    def tokenizer(self, texts):
        rows = [[1 + sum(map(ord, word)) % 63 for word in text.split()][:4] for text in texts]
        length = max(map(len, rows))
        ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
        return {"input_ids": ids, "attention_mask": (ids > 0).long()}

    def forward(self, input_ids, attention_mask):
        self.calls += 1
        states = self.table(input_ids) * attention_mask[..., None]
        return states.sum(1) / attention_mask.sum(1, keepdim=True)


@pytest.fixture
def model():
    zoo.register("text_encoder", "words", Words)

    def build(image_train="head", text_train="frozen"):
        torch.manual_seed(0)
        return zoo.build(
            "resnet50-clip",
            pretrained=False,
            overrides={
                "image.encoder": "timm/test_resnet",
                "image.train": image_train,
                "text.encoder": "words",
                "text.train": text_train,
                "embedding_dim": 16,
            },
        )

    return build


@pytest.fixture
def pairs(tmp_path):
    made = []
    for name, colour in COLOURS.items():
        for shade in range(3):
            path = tmp_path / f"{name}-{shade}.png"
            Image.new("RGB", (40, 40), tuple(max(0, level - 8 * shade) for level in colour)).save(
                path
            )
            made.append(Pair(path, (f"a {name} picture", name), name))
    return made


def recipe(**given):
    return recipe_for(True, **{"epochs": 30, "batch_size": 4, "learning_rate": 3e-3, **given})


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
def test_it_learns_whatever_trains(model, pairs, image_train, text_train):
    built = model(image_train, text_train)
    steps = []
    train(built, pairs, recipe(), report=steps.append)
    assert steps[-1].loss < 0.3 * steps[0].loss
    assert Judge(built, pairs).recall().image_to_text[1] == 1.0
    assert not built.training


def test_the_same_seed_gives_the_same_weights(model, pairs):
    first, second, other = model(), model(), model()
    train(first, pairs, recipe(seed=1, epochs=3))
    train(second, pairs, recipe(seed=1, epochs=3))
    train(other, pairs, recipe(seed=2, epochs=3))
    for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(first.image_encoder.head.fc1.weight, other.image_encoder.head.fc1.weight)
    assert first.loss.logit_scale.item() == second.loss.logit_scale.item()


def test_a_frozen_text_tower_runs_once_for_each_caption(model, pairs):
    built = model("full", "frozen")
    train(built, pairs, recipe(epochs=4))
    assert built.text_encoder.encoder.calls == 1
    assert heads_only(model().spec)
    assert not heads_only(built.spec)


def test_frozen_weights_do_not_move(model, pairs):
    built = model()
    before = {
        name: tensor.clone() for name, tensor in built.image_encoder.encoder.state_dict().items()
    }
    train(built, pairs, recipe(epochs=3))
    for name, tensor in built.image_encoder.encoder.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_metrics_are_asked_for_and_told(model, pairs):
    built, steps, told = model(), [], []
    train(
        built,
        pairs,
        recipe(epochs=2, sampling="pair"),
        judge=lambda: {"recall": 0.5},
        report=steps.append,
        progress=lambda title, done, total: told.append((title, done, total)),
    )
    assert [each for each in told if each[0] == "training"] == [
        ("training", done, 6) for done in range(1, 7)
    ]
    assert [step.epoch for step in steps] == [1, 2]
    assert all(step.metrics == {"recall": 0.5} for step in steps)


def other_encoder(tower):
    return tower.model_copy(
        update={"encoder": tower.encoder.model_copy(update={"args": {"drop_rate": 0.5}})}
    )


class TestFeatures:
    def paths(self, pairs):
        return [pair.picture for pair in pairs]

    def test_they_are_what_the_encoder_says(self, model, pairs):
        built = model().eval()
        found = image_features(built, self.paths(pairs), precision="fp32")
        batch = torch.stack([built.preprocess(path) for path in self.paths(pairs)])
        with torch.no_grad():
            torch.testing.assert_close(found, built.image_encoder.encoder(batch))
        texts = ["a red picture", "blue"]
        with torch.no_grad():
            expected = built.text_encoder.encoder(**built.tokenize(texts))
        torch.testing.assert_close(text_features(built, texts, precision="fp32"), expected)

    def test_only_what_is_new_is_computed(self, model, pairs):
        computed = []

        def progress(title, done, total):
            computed.append((done, total))

        paths = self.paths(pairs)
        first = image_features(model(), paths[:5], progress)
        assert computed[-1] == (5, 5)
        computed.clear()
        again = image_features(model(), paths, progress)
        assert computed[-1] == (7, 7)
        assert torch.equal(first, again[:5])
        computed.clear()
        turned = image_features(model(), paths[::-1], progress)
        assert computed == []
        assert torch.equal(turned, again.flip(0))

    @pytest.mark.parametrize(
        "change",
        [
            lambda model: next(model.image_encoder.encoder.parameters()).data.mul_(2.0),
            lambda model: setattr(
                model.image_encoder.encoder,
                "preprocess",
                replace(model.image_encoder.encoder.preprocess, interpolation="nearest"),
            ),
            lambda model: setattr(
                model,
                "spec",
                model.spec.model_copy(update={"image": other_encoder(model.spec.image)}),
            ),
            lambda model: model.provenance["image.encoder"]["origin"].update(version="2.0"),
        ],
        ids=["weights", "preprocess", "arguments", "origin"],
    )
    def test_the_key_sees_every_change(self, model, pairs, change, tmp_path):
        paths = self.paths(pairs)[:2]
        image_features(model(), paths)
        image_features(model(), paths)
        cached = tmp_path / "zoo-cache" / "features"
        assert len(list(cached.iterdir())) == 1
        changed = model()
        change(changed)
        image_features(changed, paths)
        assert len(list(cached.iterdir())) == 2

    def test_an_encoder_that_trains_is_not_cached(self, model, pairs, tmp_path):
        image_features(model("full"), self.paths(pairs)[:2])
        assert not (tmp_path / "zoo-cache").exists()

    def test_a_damaged_file_is_computed_again(self, model, pairs, tmp_path):
        paths = self.paths(pairs)[:2]
        before = image_features(model(), paths)
        (file,) = (tmp_path / "zoo-cache").rglob("*.safetensors")
        file.write_bytes(file.read_bytes()[:-20])
        assert torch.equal(image_features(model(), paths), before)

    def test_another_picture_under_the_same_name(self, model, pairs):
        path = pairs[0].picture
        before = image_features(model(), [path])
        Image.new("RGB", (40, 40), "white").save(path)
        assert not torch.equal(image_features(model(), [path]), before)

    def test_the_training_mode_is_left_as_it_was(self, model, pairs):
        built = model("full").train()
        image_features(built, self.paths(pairs)[:2])
        assert built.image_encoder.encoder.training

    def test_an_unreadable_picture_is_named_and_nothing_is_kept(self, model, pairs, tmp_path):
        bad = tmp_path / "bad.png"
        bad.write_text("no picture")
        with pytest.raises(DataError, match=r"bad.png: not a whole picture"):
            image_features(model(), [*self.paths(pairs), bad])
        assert not list((tmp_path / "zoo-cache").rglob("*.safetensors"))
        with pytest.raises(DataError, match=r"absent.png: the picture cannot be read"):
            image_features(model(), [tmp_path / "absent.png"])


def test_sampling_by_concept(pairs):
    sampler = Sampler(pairs, recipe(sampling="concept", batch_size=4))
    for batch in sampler.epoch():
        assert len({pairs[index].concept for index in batch}) == len(batch) == 4
    assert Sampler(pairs, recipe(sampling="pair", batch_size=4)).steps_per_epoch == 3
    assert Sampler(pairs, recipe(sampling="pair", batch_size=500)).batch_size == 12


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epochs": 0}, "recipe: epochs: .*greater than 0, not 0"),
        ({"sampling": "word"}, "recipe: sampling: .*'pair' or 'concept', not 'word'"),
        ({"epocs": 3}, "recipe: epocs: Extra inputs are not permitted"),
    ],
)
def test_recipes_that_are_not_valid(given, said):
    with pytest.raises(SpecError, match=said):
        recipe_for(True, **given)


def test_what_cannot_train(model, pairs):
    with pytest.raises(
        SpecError, match=r"nothing in this model trains; set image.train or text.train"
    ):
        train(model("frozen", "frozen"), pairs, recipe())
    with pytest.raises(DataError, match="contrasts pictures with one another, and the split has 1"):
        train(model(), pairs[:2], recipe())
    only_image = zoo.build(model().spec, towers=("image",))
    with pytest.raises(TowerError, match="training takes both towers"):
        train(only_image, pairs, recipe())
    exploding = model()
    exploding.loss.logit_scale.data.fill_(float("nan"))
    with pytest.raises(DataError, match="the loss is nan in epoch 1; a lower learning rate"):
        train(exploding, pairs, recipe())


def test_without_the_train_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    monkeypatch.delitem(sys.modules, "zoo.training.loop")
    with pytest.raises(
        MissingExtraError, match=r"needs accelerate: pip install 'clip-zoo\[train\]'"
    ):
        importlib.import_module("zoo.training.loop")


def test_precision_is_measured_once_on_a_machine(monkeypatch):
    from zoo.training import precision

    cpu = torch.device("cpu")
    measured = []
    monkeypatch.setattr(precision, "_measure", lambda device: not measured.append(device))
    for _ in range(2):
        precision._bf16_is_faster.cache_clear()  # as in another process
        assert precision.choose("auto", cpu) == "bf16"
    assert measured == ["cpu"]
    assert precision.choose("fp32", cpu) == "fp32"
    precision._bf16_is_faster.cache_clear()


def test_measuring_gives_an_answer():
    from zoo.training import precision

    assert precision._measure("cpu") in (True, False)


def test_several_processes_are_refused(model, pairs, monkeypatch):
    from zoo.training import loop

    monkeypatch.setattr(loop.Accelerator, "num_processes", 2)
    built = model()
    before = built.image_encoder.head.fc1.weight.clone()
    with pytest.raises(
        SpecError, match=r"training runs in one process; start it without accelerate"
    ):
        train(built, pairs, recipe())
    assert torch.equal(built.image_encoder.head.fc1.weight, before)
