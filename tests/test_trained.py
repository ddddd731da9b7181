"""Named models that come with trained weights: which parts take them, and what training starts from."""

from operator import attrgetter

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

import zoo
from zoo.assembly import plan
from zoo.errors import RegistryError, SpecError, UnknownNameError, WeightsError
from zoo.folder.half import round_to_half
from zoo.recipe import Recipe
from zoo.registry import catalog
from zoo.training.start import take_start
from zoo.weights.read import sha256_of

SPEC = """
[models.raw]
embedding_dim = 8
image = { encoder = "timm/test_resnet", weights = "none", head = "mlp-gelu", train = "head" }
text = { encoder = "small-text", weights = "none", head = "linear", train = "head" }
"""
TRAINED = (
    SPEC.replace("models.raw", "models.learned")
    + """
[models.learned.trained]
file = "kept/model.safetensors"
sha256 = "{sha256}"

[models.learned.metrics]
"recall@1 of 12 pictures" = [0.5, 0.25, 0.75]
loss = 0.125
"""
)


pytestmark = pytest.mark.filterwarnings(
    "ignore:this model depends on text.encoder:zoo.folder.SessionComponentWarning"
)


class SmallText(torch.nn.Module):
    out_dim, context_length = 4, 8

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(32, 4)

    def tokenizer(self, texts):
        ids = torch.tensor([[ord(each) % 32 for each in text.ljust(8)[:8]] for text in texts])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def forward(self, input_ids, attention_mask):
        return self.table(input_ids).mean(1)


@pytest.fixture
def learned(tmp_path, user_registry):
    """A model whose random weights stand for trained ones, saved and named in `zoo.toml`."""
    zoo.register("text_encoder", "small-text", SmallText)
    user_registry(SPEC)
    torch.manual_seed(5)
    model = zoo.build("raw")
    model.loss.logit_scale.data.fill_(1.5)
    file = zoo.save(model, tmp_path / "kept") / "model.safetensors"
    user_registry(SPEC + TRAINED.replace("{sha256}", sha256_of(file)))
    return model


def same(one, other, path):
    mine, theirs = (attrgetter(path)(model).state_dict() for model in (one, other))
    assert mine.keys() == theirs.keys()
    assert mine
    return all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_it_is_built_as_it_was_trained(learned):
    model = zoo.build("learned")
    for path in ("image_encoder.encoder", "image_encoder.head", "text_encoder.encoder", "loss"):
        assert same(model, learned, path)
    assert model.spec.trained == "learned"
    said = model.provenance["image.head"]["trained"]
    assert (said["model"], said["file"]) == ("learned", "model.safetensors")
    assert said["origin"]["layer"] == "user file"


def test_its_spec_builds_the_same_again(learned):
    model = zoo.build("learned")
    assert same(zoo.build(model.spec), model, "image_encoder")
    assert same(zoo.build(model.spec.model_dump()), model, "text_encoder")
    assert same(zoo.build({"base": "learned", "image": {"train": "full"}}), model, "image_encoder")


def test_saved_and_loaded_it_is_the_same_with_the_file_gone(learned, tmp_path):
    model = zoo.build("learned")
    folder = zoo.save(model, tmp_path / "again")
    (tmp_path / "kept" / "model.safetensors").unlink()
    assert same(zoo.load(folder), model, "image_encoder")


def test_without_training(learned):
    for model in (
        zoo.build("learned", pretrained=False),
        zoo.build("learned", overrides={"trained": "none"}),
        plan("learned").fresh().build(),
    ):
        assert not same(model, learned, "image_encoder.head")
        assert model.spec.trained is None
        assert "trained" not in model.provenance["image.head"]


def test_a_tower_with_another_component_takes_none_and_the_other_does(learned):
    model = zoo.build("learned", overrides={"image.head": "linear"})
    assert "trained" not in model.provenance["image.head"]
    assert not same(model, learned, "image_encoder.encoder")
    assert same(model, learned, "text_encoder")
    assert same(model, learned, "loss")


def test_one_tower_alone(learned):
    model = zoo.build("learned", towers=("text",))
    assert same(model, learned, "text_encoder")


def test_arguments_that_change_a_shape_are_refused(learned):
    with pytest.raises(
        WeightsError,
        match=r"image.head: from the trained weights of 'learned' of zoo.toml, of which "
        r'trained = "none" takes none: the weights do not fit the model: fc1.bias has shape',
    ):
        zoo.build("learned", overrides={"image.head.args.hidden_dim": 5})


def test_weights_that_are_not_the_pinned_ones(learned, tmp_path):
    file = tmp_path / "kept" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(WeightsError, match=r"differ from the ones that are pinned: sha256 is"):
        zoo.build("learned")
    file.unlink()
    with pytest.raises(WeightsError, match=r"there is no such weights file; install again"):
        zoo.build("learned")


def test_weights_of_a_model_that_has_none(learned):
    with pytest.raises(
        SpecError,
        match=r"trained \(overrides\): the model 'raw' of zoo.toml comes without trained weights; "
        r"those that have some: learned",
    ):
        zoo.build("raw", overrides={"trained": "raw"})
    with pytest.raises(UnknownNameError, match=r"trained \(overrides\): .*'lerned'.*'learned'"):
        zoo.build("raw", overrides={"trained": "lerned"})


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ('trained = "x"', r"\[models.a\] trained is a table of the texts file and sha256, not 'x'"),
        ('trained = { file = "x" }', "trained is a table of the texts file and sha256"),
        (
            'trained = { file = "a.safetensors", sha256 = "12" }',
            "trained.sha256 is 64 small hexadecimal digits, not '12'",
        ),
        (
            f'trained = {{ file = "../a.safetensors", sha256 = "{"0" * 64}" }}',
            "trained.file is a .safetensors file in the folder of the registry file or below it",
        ),
        (
            f'trained = {{ file = "a.pt", sha256 = "{"0" * 64}" }}',
            "trained.file is a .safetensors file",
        ),
        ("metrics = 3", "metrics is a table, not 3"),
        ('metrics = { recall = "good" }', "metrics: 'recall' is a number, or a list of value"),
        ("metrics = { recall = [1, 2] }", "metrics: 'recall' is a number, or a list of value"),
    ],
)
def test_tables_that_are_not_right(said, message, user_registry):
    user_registry(f"[models.a]\n{said}")
    with pytest.raises(RegistryError, match=message):
        catalog()


def test_the_listing_has_its_metrics(learned, capsys):
    from zoo.cli.listing import print_list

    print_list("learned", "models")
    shown = " ".join(capsys.readouterr().out.split())
    assert "recall@1 of 12 pictures: 50.0% (25.0% to 75.0%)" in shown
    print_list("learned", "models", as_json=True)
    assert '"recall@1 of 12 pictures": [' in capsys.readouterr().out


def test_training_starts_from_another_model(learned, tmp_path):
    for start in ("learned", str(tmp_path / "kept")):
        model = plan("raw").fresh().build()
        taken = take_start(model, Recipe(start=start))
        assert taken == ["image.encoder", "image.head", "text.encoder", "text.head", "loss"]
        assert same(model, learned, "image_encoder")


def test_a_start_with_some_of_the_parts(learned):
    model = zoo.build("raw", overrides={"image.head": "linear"})
    assert "image.head" not in take_start(model, Recipe(start="learned"))
    assert same(model, learned, "image_encoder.encoder")
    assert take_start(model, Recipe()) == []


def test_a_share_of_a_start_mixes_encoders_and_takes_heads(learned):
    own, theirs = plan("raw").fresh().build(), learned
    model = plan("raw").fresh().build()
    with torch.no_grad():
        for each in own.image_encoder.encoder.parameters():
            each.add_(1.0)
    model.load_state_dict(own.state_dict())
    take_start(model, Recipe(start="learned", start_share=0.0))
    assert same(model, own, "image_encoder.encoder")
    assert same(model, learned, "image_encoder.head")
    take_start(model, Recipe(start="learned", start_share=0.25))
    mixed = model.image_encoder.encoder.state_dict()
    before, start = (each.image_encoder.encoder.state_dict() for each in (own, theirs))
    assert any((before[name] != start[name]).any() for name in mixed)
    for name, tensor in mixed.items():
        if tensor.is_floating_point():
            expected = 0.75 * before[name].double() + 0.25 * start[name].double()
            torch.testing.assert_close(tensor.double(), expected, rtol=1e-6, atol=1e-6)
    assert same(model, learned, "image_encoder.head")


def test_a_solved_head_is_taken_where_it_fits(learned, tmp_path):
    whitened = {"text.head": {"name": "whiten", "args": {"strength": 0.5}}, "embedding_dim": 4}
    start = zoo.build("raw", overrides=whitened)
    start.text_encoder.head.fit(torch.randn(20, 4, generator=torch.Generator().manual_seed(0)))
    folder = str(zoo.save(start, tmp_path / "solved"))
    model = zoo.build("raw", overrides=whitened)
    assert "text.head" in take_start(model, Recipe(start=folder))
    assert same(model, start, "text_encoder.head")
    assert model.text_encoder.head.fitted
    other = {**whitened, "text.head": {"name": "whiten", "args": {"strength": 0.25}}}
    for overrides, recipe in (
        (other, Recipe(start=folder)),
        (whitened, Recipe(start=folder, start_share=0.5)),
    ):
        model = zoo.build("raw", overrides=overrides)
        assert "text.head" not in take_start(model, recipe)
        assert not model.text_encoder.head.fitted


def test_a_start_that_leaves_nothing_to_do(learned, tmp_path):
    def pair(landmarks):
        head = {"name": "two-way-kernel", "args": {"landmarks": landmarks, "rank": 4}}
        frozen = {"image.train": "frozen", "text.train": "frozen"}
        return zoo.build("raw", overrides={"image.head": head, "text.head": head, **frozen})

    start = pair(12)
    for tower in (start.image_encoder, start.text_encoder):
        tower.head.fitted.fill_(True)
    folder = str(zoo.save(start, tmp_path / "pair"))
    with pytest.raises(SpecError, match=r"train.start: its heads were solved, .* solved anew"):
        take_start(pair(12), Recipe(start=folder))
    other = pair(8)
    assert take_start(other, Recipe(start=folder)) == ["image.encoder", "text.encoder", "loss"]
    assert not other.image_encoder.head.fitted


def test_encoders_of_several_starts_are_averaged(learned, tmp_path):
    other = zoo.build("raw")
    with torch.no_grad():
        for each in other.parameters():
            each.mul_(1.5)
    folder = str(zoo.save(other, tmp_path / "other"))
    model = plan("raw").fresh().build()
    asked = Recipe(start=["learned", folder])
    assert asked.starts == ["learned", folder]
    assert "image.head" in take_start(model, asked)
    assert same(model, learned, "image_encoder.head")
    one, two, averaged = (
        each.image_encoder.encoder.state_dict() for each in (learned, other, model)
    )
    assert any((one[name] != two[name]).any() for name in averaged)
    for name, tensor in averaged.items():
        if tensor.is_floating_point():
            expected = (one[name].double() + two[name].double()) / 2
            torch.testing.assert_close(tensor.double(), expected, rtol=1e-6, atol=1e-6)
    with pytest.raises(ValidationError, match="start"):
        Recipe(start=[])
    with pytest.raises(ValidationError, match="start names a model twice"):
        Recipe(start=["learned", "learned"])
    with pytest.raises(UnknownNameError, match=r"train.start: .*'lerned'"):
        take_start(model, Recipe(start=["learned", "lerned"]))
    heads = {"image.encoder": "timm/test_vit", "image.weights": "none"}
    of_another_kind = str(zoo.save(zoo.build("raw", overrides=heads), tmp_path / "vit"))
    with pytest.raises(
        SpecError, match=r"train.start: '.*vit' has no image.encoder of the kind that 'learned' has"
    ):
        take_start(model, Recipe(start=["learned", of_another_kind]))


def test_a_share_is_of_a_start():
    with pytest.raises(ValidationError, match="start_share is of a start's weights"):
        Recipe(start_share=0.5)
    with pytest.raises(ValidationError, match="start_share"):
        Recipe(start="learned", start_share=1.5)


def test_adapters_of_a_start_are_taken_and_never_lost(learned, tmp_path):
    adapting = {"image.train": {"lora": {"rank": 2}}}
    adapted = zoo.build("raw", overrides=adapting)
    with torch.no_grad():
        for each in adapted.image_encoder.encoder.parameters():
            each.add_(0.25)
    start = str(zoo.save(adapted, tmp_path / "adapted"))
    model = zoo.build("raw", overrides=adapting)
    assert "image.adapters" in take_start(model, Recipe(start=start))
    assert same(model, adapted, "image_encoder.encoder")
    said = r"train.start: '.*adapted' has image.adapters, without which its image.encoder"
    for other, recipe in (
        (learned, Recipe(start=start)),
        (model, Recipe(start=start, start_share=0.5)),
        (model, Recipe(start=["learned", start])),
    ):
        before = {name: each.clone() for name, each in other.state_dict().items()}
        with pytest.raises(SpecError, match=said):
            take_start(other, recipe)
        assert all(torch.equal(each, before[name]) for name, each in other.state_dict().items())


def test_a_start_that_does_not_fit(learned):
    model = zoo.build("raw", overrides={"image.head.args.hidden_dim": 5})
    with pytest.raises(WeightsError, match=r"train.start: image.head of learned: .*has shape"):
        take_start(model, Recipe(start="learned"))
    with pytest.raises(UnknownNameError, match=r"train.start: .*'lerned'"):
        take_start(model, Recipe(start="lerned"))
    model = zoo.build(
        "raw",
        overrides={
            "image.encoder": "timm/test_vit",
            "image.weights": "none",
            "image.head": "linear",
            "text.head": "mlp-gelu",
        },
        towers=("image",),
    )
    with pytest.raises(
        SpecError, match=r"train.start: 'learned' has no encoder and no head of the"
    ):
        take_start(model, Recipe(start="learned"))


def test_half_the_space(learned, tmp_path):
    model = zoo.build("learned")
    folder = zoo.save(model, tmp_path / "half", half=True)
    stored = load_file(folder / "model.safetensors")
    again = zoo.load(folder).state_dict()
    for path, tensor in (
        ("image.head.fc1.weight", model.image_encoder.head.fc1.weight),
        ("text.encoder.table.weight", model.text_encoder.encoder.table.weight),
    ):
        assert stored[path].dtype == torch.float16
        side, rest = path.split(".", 1)
        assert torch.equal(again[f"{side}_encoder.{rest}"], tensor.half().float())
    assert again["image_encoder.head.fc1.weight"].dtype == torch.float32


def test_what_half_the_space_cannot_hold_is_refused(learned, tmp_path):
    model = zoo.build("learned")
    model.image_encoder.head.fc1.bias.data[0] = 1e5
    with pytest.raises(
        WeightsError,
        match=r"not saved: image.head.fc1.bias: holds 100000, and float16 ends at 65,504; keep it in fl",
    ):
        zoo.save(model, tmp_path / "half", half=True)
    assert not (tmp_path / "half").exists()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    with pytest.raises(WeightsError, match=r"^image.head.fc1.bias: holds 100000, and float16 ends"):
        round_to_half(model)
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    model.image_encoder.head.fc1.bias.data[0] = 65504.0
    round_to_half(model)
    for name, each in model.image_encoder.head.state_dict().items():
        assert (
            torch.equal(each, before[f"image_encoder.head.{name}"].half().float()) or "bias" in name
        )
