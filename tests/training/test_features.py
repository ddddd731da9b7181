"""Cached features: what the encoder says, computed once, under a key of all that matters."""

import json
import sys
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from transformers import BertConfig

import zoo
from standins import bert_folder
from zoo.clip import CLIP, CLIPImageEncoder, evaluating
from zoo.data.held import Held
from zoo.encoders.preprocess import Preprocess
from zoo.errors import CacheError, DataError, SpecError, TowerError
from zoo.evaluation.embeddings import project
from zoo.registry.catalog import _session, catalog
from zoo.training import ingredients as ingredients_module
from zoo.training.features import image_features, text_features
from zoo.training.ingredients import ingredients

TEXTS = ["a red picture", "blue", "a green one of four", "red", "blue"]


def paths(pairs):
    return [pair.picture for pair in pairs]


def folders(tmp_path):
    return sorted(each for each in (tmp_path / "zoo-cache" / "features").iterdir() if each.is_dir())


class Told(list):
    """What of a title was told as done."""

    def __call__(self, title, done, total):
        if title.endswith("features"):
            self.append((done, total))


def test_they_are_what_the_encoder_says(model, pairs):
    built = model().eval()
    found = image_features(built, paths(pairs), precision="fp32")
    batch = torch.stack([built.preprocess(path) for path in paths(pairs)])
    with torch.no_grad():
        torch.testing.assert_close(found.tensor(), built.image_encoder.encoder(batch))
    found = text_features(built, TEXTS, precision="fp32")
    table = built.text_encoder.encoder.table.weight.double().detach().numpy()
    for row, text in enumerate(TEXTS):
        ids = [1 + sum(map(ord, word)) % 63 for word in text.split()][:4]
        expected = torch.tensor(np.mean(table[ids], axis=0), dtype=torch.float32)
        torch.testing.assert_close(found[[row]][0], expected)


@pytest.mark.parametrize("train", ["head", "full"])
def test_they_come_in_the_order_of_the_inputs(model, pairs, train):
    built = model(train, train)
    for compute, inputs in ((image_features, paths(pairs)), (text_features, TEXTS)):
        whole = compute(built, inputs, precision="fp32").tensor()
        for index, each in enumerate(inputs):
            alone = compute(built, [each], precision="fp32").tensor()
            torch.testing.assert_close(alone[0], whole[index], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_company_of_an_input_does_not_matter(model, pairs, precision, tmp_path, monkeypatch):
    """Bit for bit, so that what happens to be cached already does not change a training run."""
    at_once = [
        image_features(model(), paths(pairs), precision=precision).tensor(),
        text_features(model(), TEXTS, precision=precision).tensor(),
    ]
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "other"))
    for some in ([3], [7, 1], [11, 0, 5]):
        image_features(model(), [paths(pairs)[index] for index in some], precision=precision)
    text_features(model(), ["something else", *TEXTS[2:3]], precision=precision)
    one_by_one = [
        image_features(model(), paths(pairs), precision=precision).tensor(),
        text_features(model(), TEXTS, precision=precision).tensor(),
    ]
    for first, second in zip(at_once, one_by_one, strict=True):
        assert torch.equal(first, second)


def test_only_what_is_new_is_computed(model, pairs):
    told = Told()
    first = image_features(model(), paths(pairs)[:5], told)
    assert told[-1] == (5, 5)
    told.clear()
    again = image_features(model(), [*paths(pairs), paths(pairs)[0]], told)
    assert told[-1] == (7, 7)
    assert torch.equal(first.tensor(), again[range(5)])
    assert torch.equal(again[[0]], again[[12]])
    told.clear()
    turned = image_features(model(), paths(pairs)[::-1], told)
    assert told == []
    assert torch.equal(turned.tensor(), again[list(range(11, -1, -1))])


def test_other_heads_losses_and_captions_share_them(model, pairs):
    told = Told()
    image_features(model(), paths(pairs), told)
    text_features(model(), TEXTS, told)
    told.clear()
    other = model("frozen", "head", {"image.head": "linear", "loss": "siglip"})
    image_features(other, paths(pairs), told)
    assert told == []
    text_features(other, [*TEXTS, "one more"], told)
    assert told == [(1, 1)]


def test_captions_of_the_same_tokens_share_a_row(model, tmp_path):
    told = Told()
    text_features(model(), ["a  red picture", "a red picture", "red"], told)
    assert told[-1] == (2, 2)


def test_a_text_is_tokenized_once(model):
    built, seen = model(), []
    tokenizer = built.text_encoder.encoder.tokenizer

    def counting(texts):
        seen.extend(texts)
        return tokenizer(texts)

    built.text_encoder.encoder.tokenizer = counting
    text_features(built, TEXTS)
    assert seen == ["a", *TEXTS]  # the first tells whether a text alone is padded


@dataclass(frozen=True)
class OtherPreprocess(Preprocess):
    """Of another class, with the same data."""


def with_preprocess(**changes):
    def change(model, monkeypatch):
        encoder = model.image_encoder.encoder
        encoder.preprocess = replace(encoder.preprocess, **changes)

    return change


def of_another_class(model, monkeypatch):
    encoder = model.image_encoder.encoder
    encoder.preprocess = OtherPreprocess(**encoder.preprocess.as_json())


def with_library(name):
    def change(model, monkeypatch):
        real = ingredients_module.version
        monkeypatch.setattr(
            ingredients_module, "version", lambda each: "99" if each == name else real(each)
        )

    return change


def weights(model, monkeypatch):
    next(model.image_encoder.encoder.parameters()).data.flatten()[0] += 1e-3


def statistics_of_a_norm(model, monkeypatch):
    buffers = dict(model.image_encoder.encoder.named_buffers())
    buffer = next(buffers[name] for name in buffers if name.endswith("running_mean"))
    buffer[0] += 1e-3


def unsaved_buffer(model, monkeypatch):
    model.image_encoder.encoder.register_buffer("table", torch.ones(3), persistent=False)


def arguments(model, monkeypatch):
    tower = model.spec.image
    encoder = tower.encoder.model_copy(update={"args": {"drop_rate": 0.5}})
    tower = tower.model_copy(update={"encoder": encoder})
    model.spec = model.spec.model_copy(update={"image": tower})


def architecture(model, monkeypatch):
    for name, module in list(model.image_encoder.encoder.named_modules()):
        if isinstance(module, nn.ReLU):
            model.image_encoder.encoder.set_submodule(name, nn.GELU())
            return
    raise AssertionError("there is no ReLU to replace")


def version_of_the_origin(model, monkeypatch):
    model.provenance["image.encoder"]["origin"].update(version="2.0")


def code_of_a_layer(model, monkeypatch):
    monkeypatch.setattr(ingredients_module, "code_of", lambda *things: "another")


def code_of_the_factory(model, monkeypatch):
    model.image_encoder.encoder.factory_code = "another"


def config(model, monkeypatch):
    model.image_encoder.encoder.config = BertConfig(num_attention_heads=4)


def kernels(model, monkeypatch):
    monkeypatch.setattr(ingredients_module, "fp32_kernels", lambda: {"cuda.matmul": "tf32"})


def tokens(model, monkeypatch):
    model.image_encoder.head.takes_tokens = True


CHANGES = {
    "weights": weights,
    "statistics": statistics_of_a_norm,
    "buffers": unsaved_buffer,
    "arguments": arguments,
    "architecture": architecture,
    "code": code_of_a_layer,
    "factory": code_of_the_factory,
    "config": config,
    "kernels": kernels,
    "origin": version_of_the_origin,
    "tokens": tokens,
    "interpolation": with_preprocess(interpolation="nearest"),
    "mean": with_preprocess(mean=(0.1, 0.2, 0.3)),
    "std": with_preprocess(std=(0.1, 0.2, 0.3)),
    "crop": with_preprocess(crop=(48, 48)),
    "resize": with_preprocess(resize=77),
    "class of the preprocessing": of_another_class,
    **{name: with_library(name) for name in ingredients_module._LIBRARIES},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_ingredient_changes_the_key(model, pairs, change, tmp_path, monkeypatch):
    """And nothing else does: a model built again has the same."""
    for _ in range(2):
        image_features(model(), paths(pairs)[:2], precision="fp32")
    assert len(folders(tmp_path)) == 1
    changed = model()
    change(changed, monkeypatch)
    told = Told()
    image_features(changed, paths(pairs)[:2], told, precision="fp32")
    assert told[-1] == (2, 2)
    assert len(folders(tmp_path)) == 2


def test_precision_side_and_device_are_ingredients(model, pairs, tmp_path):
    for precision in ("fp32", "bf16"):
        image_features(model(), paths(pairs)[:2], precision=precision)
        text_features(model(), TEXTS, precision=precision)
    assert len(folders(tmp_path)) == 4
    on = [
        ingredients(model(), "image", "fp32", torch.device(name))
        for name in ("cpu", "cuda", "cuda:1")
    ]
    assert on[0] != on[1] == on[2]


def test_the_library_of_a_wrapped_network_is_an_ingredient(model, monkeypatch):
    built = model()
    alien = type("Alien", (nn.Identity,), {"__module__": "open_clip.transformer"})
    before = ingredients(built, "image", "fp32", torch.device("cpu"))
    built.image_encoder.encoder.add_module("wrapped", alien())
    wrapped = ingredients(built, "image", "fp32", torch.device("cpu"))
    assert wrapped["libraries"].keys() - before["libraries"].keys() == {"open_clip_torch"}
    with_library("open_clip_torch")(built, monkeypatch)
    after = ingredients(built, "image", "fp32", torch.device("cpu"))
    assert wrapped["libraries"].pop("open_clip_torch") != after["libraries"].pop("open_clip_torch")
    assert wrapped == after


def test_every_ingredient_is_tested():
    """A new one needs a test above."""
    built = zoo.build("resnet50-clip", pretrained=False, towers="image")
    built.image_encoder.frozen_parts = ("encoder",)
    built.image_encoder.encoder.requires_grad_(False)
    assert set(ingredients(built, "image", "fp32", torch.device("cpu"))) == {
        "format",
        "side",
        "component",
        "origin",
        "weights",
        "buffers",
        "architecture",
        "code",
        "configs",
        "kernels",
        "tokens",
        "precision",
        "device",
        "libraries",
        "preprocess",
    }


def test_tokens_are_the_input_of_a_text(model):
    """Another tokenizer with the same ids shares rows; one with other ids, or another mask, does not."""
    built, told = model(), Told()
    encoder = built.text_encoder.encoder
    tokenizer = encoder.tokenizer
    text_features(built, ["a red picture"], told)
    encoder.tokenizer = lambda texts: tokenizer(list(texts))
    told.clear()
    text_features(built, ["a red picture"], told)
    assert told == []

    def other_ids(texts):
        said = tokenizer(texts)
        return {**said, "input_ids": said["input_ids"] + said["attention_mask"]}

    def other_mask(texts):
        said = tokenizer(texts)
        mask = said["attention_mask"].clone()
        mask[:, 0] = 0
        return {**said, "attention_mask": mask}

    for other in (other_ids, other_mask):
        encoder.tokenizer = other
        text_features(built, ["a red picture"], told)
        assert told == [(1, 1)]
        told.clear()


MINE = """
import torch
from torch import nn

class Mine(nn.Module):
    out_dim, context_length = 8, 4

    def __init__(self, *, weights=None):
        super().__init__()

    def tokenizer(self, texts):
        ids = torch.tensor([[len(text), 1] for text in texts])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def forward(self, input_ids, attention_mask):
        return input_ids.sum(1, keepdim=True) * torch.ones(1, 8)
"""


def test_code_of_ones_own_that_changed(model, tmp_path, monkeypatch):
    """As a script that is edited and run again: the same name, another file."""

    def rows(code):
        file = tmp_path / "my_encoders.py"
        file.write_text(code)
        module = ModuleType("my_encoders")
        module.__file__ = str(file)
        exec(code, vars(module))
        monkeypatch.setitem(sys.modules, "my_encoders", module)
        _session.clear()
        catalog.cache_clear()
        zoo.register("text_encoder", "mine", module.Mine)
        built = model(changes={"text.encoder": "mine", "text.head": "linear"})
        return text_features(built, ["four"], told, precision="fp32").tensor()[0, 0].item()

    told = Told()
    assert rows(MINE) == 5
    assert rows(MINE) == 5
    assert told == [(1, 1)]
    assert rows(MINE.replace("sum(1,", "amax(1,")) == 4


def test_a_folder_whose_config_changed(tmp_path):
    """The same weights in a folder of HuggingFace's, with other heads, or pooled in another way."""
    folder = bert_folder(tmp_path / "bert")

    def keys():
        built = zoo.build(
            "resnet50-clip",
            overrides={"text.encoder": f"hf/{folder}", "text.head": "linear"},
            towers="text",
        )
        return ingredients(built, "text", "fp32", torch.device("cpu"))

    def changed():
        return {name for name, said in keys().items() if said != first[name]}

    first = keys()
    assert changed() == set()
    file = folder / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "num_attention_heads": 4}))
    assert changed() == {"configs"}
    file.write_text(json.dumps(config))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    assert changed() == {"component"}


def test_what_is_typed_into_an_interpreter_is_not_kept(model, tmp_path):
    typed = {"__name__": "console"}
    exec(MINE, typed)
    zoo.register("text_encoder", "typed", typed["Mine"])
    built = model(changes={"text.encoder": "typed", "text.head": "linear"})
    assert text_features(built, ["four"])[[0]][0, 0] == 5
    assert not (tmp_path / "zoo-cache" / "features").exists()


def test_what_trains_is_not_cached(model, pairs, tmp_path):
    for train in ("full", {"last": 1}, {"lora": {"rank": 2}}):
        image_features(model(train), paths(pairs)[:2])
    thawed = model("head")
    next(thawed.image_encoder.encoder.parameters()).requires_grad_(True)
    image_features(thawed, paths(pairs)[:2])
    free = model("head")
    free.image_encoder.encoder.preprocess = lambda picture: torch.zeros(3, 32, 32)
    image_features(free, paths(pairs)[:2])
    assert not (tmp_path / "zoo-cache" / "features").exists()


def test_they_are_kept_as_they_were_computed(model, pairs):
    class Half(nn.Module):
        def __init__(self, encoder):
            super().__init__()
            self.encoder, self.preprocess = encoder, encoder.preprocess

        def forward(self, images):
            return self.encoder(images).bfloat16()

    built = model()
    full = image_features(built, paths(pairs), precision="fp32")
    built.image_encoder.encoder = Half(built.image_encoder.encoder)
    half = image_features(built, paths(pairs), precision="fp32")
    again = image_features(built, paths(pairs), precision="fp32")
    assert half.nbytes == again.nbytes == full.nbytes // 2 == full.tensor().nbytes // 2
    assert half.tensor().dtype == torch.float32
    assert torch.equal(half.tensor(), full.tensor().bfloat16().float())
    assert torch.equal(again.tensor(), half.tensor())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused_by_name(model, pairs, bad, tmp_path):
    built = model()
    red = paths(pairs).index(next(path for path in paths(pairs) if path.name == "blue-1.png"))
    encoder = built.image_encoder.encoder
    picture = built.preprocess(paths(pairs)[red])

    def spoil(module, inputs, output):
        same = (inputs[0] == picture).flatten(1).all(1)
        return torch.where(same[:, None], bad, output)

    encoder.register_forward_hook(spoil)
    with pytest.raises(DataError, match=r"blue-1.png: the image encoder gives NaN or infinity"):
        image_features(built, paths(pairs))
    told = Told()
    image_features(built, paths(pairs)[:red], told)
    assert told[-1] == (red, red)  # what came together with it was not kept

    table = built.text_encoder.encoder.table
    table.weight.data[1 + sum(map(ord, "blue")) % 63] = bad
    with pytest.raises(DataError, match=r"'blue': the text encoder gives NaN or infinity for it"):
        text_features(built, ["red", "blue"])


class Unsteady(nn.Module):
    """A text encoder that is random in eval mode, or lets the texts of a batch mix."""

    out_dim, context_length = 16, 4

    def __init__(self, *, weights=None, how="random"):
        super().__init__()
        self.how, self.table = how, nn.Embedding(99, 16)

    def tokenizer(self, texts):
        ids = torch.tensor([[1 + sum(map(ord, text)) % 90] for text in texts])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def forward(self, input_ids, attention_mask):
        said = self.table(input_ids)[:, 0]
        if self.how == "random":
            return said + torch.randn_like(said)
        if self.how == "noisy":
            return said * (1 + 1e-6 * torch.randn_like(said))
        return said - said.mean(0) + 1e-2


@pytest.mark.parametrize("how", ["random", "mixing", "noisy"])
def test_an_encoder_that_is_not_deterministic_is_refused(model, how, tmp_path):
    zoo.register("text_encoder", "unsteady", Unsteady)
    built = model(changes={"text.encoder": {"name": "unsteady", "args": {"how": how}}})
    if how == "noisy":  # as the kernels of some devices are
        assert len(text_features(built, TEXTS, precision="fp32")) == len(TEXTS)
        return
    with pytest.raises(
        SpecError,
        match=r"text.encoder: is frozen, and for 'a red picture' it gives other features when it "
        r"runs again \(they differ by \d+% of their length\): it is random in eval mode, or mixes "
        r"the inputs of a batch, .*Set text.train to full",
    ):
        text_features(built, TEXTS, precision="fp32")
    assert not list((tmp_path / "zoo-cache").rglob("*.safetensors"))


@pytest.mark.parametrize("kept", [True, False])
def test_what_cannot_be_kept_is_checked_as_well(model, pairs, kept):
    """Of a frozen encoder whose preprocessing is no data, its features are computed each time."""
    built = model()
    encoder = built.image_encoder.encoder
    if not kept:
        preprocess = encoder.preprocess
        encoder.preprocess = lambda picture: preprocess(picture)
    hook = encoder.register_forward_hook(lambda *given: given[2] + torch.randn_like(given[2]))
    with pytest.raises(
        SpecError, match=r"image.encoder: is frozen, and for '?.*red-0.png'? it gives"
    ):
        image_features(built, paths(pairs))
    hook.remove()
    encoder.register_forward_hook(lambda *given: given[2] / 0)
    with pytest.raises(DataError, match=r"red-0.png: the image encoder gives NaN or infinity"):
        image_features(built, paths(pairs))


def test_features_of_another_shape_are_refused(model, pairs):
    built = model()
    encoder = built.image_encoder.encoder
    image_features(built, paths(pairs)[:2])
    encoder.register_forward_hook(lambda module, inputs, output: output[:, :7])
    with pytest.raises(
        DataError,
        match=r"red-2.png: the image encoder gives features of another kind: a row is \(7,\) of "
        r"\w+, and those before are \(\d+,\) of ",
    ):
        image_features(built, paths(pairs))


def test_a_damaged_file_is_computed_again_and_told(model, pairs, tmp_path, caplog):
    before = image_features(model(), paths(pairs)).tensor()
    (file,) = (tmp_path / "zoo-cache").rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-20])
    told = Told()
    assert torch.equal(image_features(model(), paths(pairs), told).tensor(), before)
    assert told[-1] == (12, 12)
    assert "discarded, and computed again: not a whole file" in caplog.text


def test_another_picture_under_the_same_name(model, pairs):
    path = pairs[0].picture
    before = image_features(model(), [path])
    Image.new("RGB", (40, 40), "white").save(path)
    assert not torch.equal(image_features(model(), [path]).tensor(), before.tensor())


def test_a_picture_that_changes_meanwhile_is_refused(model, pairs):
    built = model()
    encoder, path = built.image_encoder.encoder, pairs[0].picture

    class Changing(Preprocess):
        def __call__(self, picture):
            Image.new("RGB", (50, 40), "white").save(path)
            return super().__call__(picture)

    encoder.preprocess = Changing(**encoder.preprocess.as_json())
    with pytest.raises(DataError, match=r"red-0.png: the picture changed while it was in use"):
        image_features(built, [path])


class InMemory(Held):
    name, size = "a cell", 0

    def __init__(self, content):
        self.content, self.size = content, len(content)

    def read(self, most=None):
        return self.content if most is None else self.content[:most]


def test_a_picture_without_a_file_of_its_own_has_the_same_key(model, pairs):
    told = Told()
    from_files = image_features(model(), paths(pairs), told)
    told.clear()
    held = [InMemory(path.read_bytes()) for path in paths(pairs)]
    assert torch.equal(image_features(model(), held, told).tensor(), from_files.tensor())
    assert told == []


def test_the_training_mode_is_left_as_it_was(model, pairs):
    built = model("full").train()
    image_features(built, paths(pairs)[:2])
    assert built.image_encoder.encoder.training


def test_an_unreadable_picture_is_named_and_what_was_done_is_kept(model, pairs, tmp_path):
    many = []
    for number in range(20):
        many.append(tmp_path / f"{number}.png")
        Image.new("RGB", (40, 40), (9 * number, 0, 0)).save(many[-1])
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    with pytest.raises(DataError, match=r"bad.png: not a whole picture"):
        image_features(model(), [*many, bad])
    told = Told()
    image_features(model(), many, told)
    assert told == [(4, 4)]  # the first batch of 16 was done
    with pytest.raises(DataError, match=r"absent.png: the picture cannot be read"):
        image_features(model(), [tmp_path / "absent.png"])
    with pytest.raises(DataError, match="there are no pictures to compute features of"):
        image_features(model(), [])
    with pytest.raises(DataError, match="there are no texts to compute features of"):
        text_features(model(), [])


def test_half_a_model_has_no_features_of_the_other_side(pairs):
    half = zoo.build("resnet50-clip", pretrained=False, towers="text")
    with pytest.raises(TowerError, match="built without its image tower; build it with towers"):
        image_features(half, paths(pairs))
    half = CLIP(CLIPImageEncoder(nn.Identity(), nn.Identity()), None)
    with pytest.raises(TowerError, match="built without its text tower; build it with towers"):
        text_features(half, TEXTS)


def test_a_model_in_bfloat16_takes_pictures_and_features_in_it(model, pairs):
    built = model("full", "full", {"text.head": "linear"})
    expected = [
        project(built.image_encoder, image_features(built, paths(pairs), precision="fp32")),
        project(built.text_encoder, text_features(built, TEXTS, precision="fp32")),
    ]
    built.to(torch.bfloat16)
    found = [
        project(built.image_encoder, image_features(built, paths(pairs), precision="fp32")),
        project(built.text_encoder, text_features(built, TEXTS, precision="fp32")),
    ]
    found += [built.embed_images(paths(pairs)), built.embed_texts(TEXTS)]
    for mine, exact in zip(found, [*expected, *expected], strict=True):
        torch.testing.assert_close(mine, exact, atol=0.05, rtol=0)


def test_a_tower_without_parameters(model, pairs):
    built = model()

    class Mean(nn.Module):
        preprocess = built.image_encoder.encoder.preprocess

        def forward(self, images):
            return images.mean((2, 3))

    free = CLIP(CLIPImageEncoder(Mean(), nn.Identity()), None)
    features = image_features(free, paths(pairs))
    torch.testing.assert_close(
        project(free.image_encoder, features), free.embed_images(paths(pairs))
    )


def test_what_has_no_room_is_refused_before_the_work(model, pairs, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE_LIMIT", "1KB")
    told = Told()
    with pytest.raises(CacheError, match=r"these features take .* raise ZOO_CACHE_LIMIT"):
        image_features(model(), paths(pairs), told)
    assert told == []


@pytest.mark.parametrize("frozen", [True, False])
def test_padding_is_trimmed_exactly(frozen, minilm_in_hub_cache):
    """Against the encoder on the tokenizer's own padding; a seeded network of MiniLM's size."""
    texts = ["a cat", "a cat on a table and beside it a dog", "", "two", "a dog " * 30]
    built = zoo.build(
        "resnet50-clip",
        overrides={
            "text.encoder": "hf/sentence-transformers/all-MiniLM-L6-v2",
            "text.train": "frozen" if frozen else "full",
            "text.head": "linear",
        },
        towers="text",
    )
    encoder = built.text_encoder.encoder
    with evaluating(encoder), torch.no_grad():
        expected = encoder(**encoder.tokenizer(texts))
    found = text_features(built, texts, precision="fp32").tensor()
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
