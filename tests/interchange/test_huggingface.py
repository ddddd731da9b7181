"""Dual encoders of transformers come in and go out with the same embeddings."""

import json
from functools import partial

import pytest
import torch
import transformers as hf
from PIL import Image

import zoo
from duals import TEXTS, clip, dual, siglip, theirs
from zoo.errors import ArgumentError, FolderError, WeightsError

KINDS = {
    "CLIPModel": clip,
    "SiglipModel": siglip,
    "VisionTextDualEncoderModel": dual,
    "with CLIP's vision": partial(dual, image="clip"),
}


@pytest.fixture
def picture():
    pixels = torch.randint(0, 256, (50, 70, 3), generator=torch.Generator().manual_seed(2))
    return Image.fromarray(pixels.to(torch.uint8).numpy())


@pytest.fixture(params=KINDS)
def folder(request, tmp_path):
    return KINDS[request.param](tmp_path / "theirs")


def close(ours, others, atol=1e-5):
    torch.testing.assert_close(ours, others, atol=atol, rtol=0)


def test_in_and_out_and_saved(folder, picture, tmp_path):
    model = zoo.from_huggingface(folder).eval()
    whole, images, texts = theirs(folder, model, picture)
    # Their resizing rounds pixels as Pillow does; a pixel of 255 here and there is another.
    close(model.embed_images(picture), images, atol=2e-3)
    close(model.embed_texts(TEXTS), texts)
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        raw = whole.get_image_features(pixel_values=pixels).pooler_output
        close(model.encode_image(pixels), torch.nn.functional.normalize(raw, dim=-1))
    assert model.loss.logit_scale.item() == whole.logit_scale.item()
    assert model.loss.temperature == pytest.approx(1 / whole.logit_scale.exp().item())
    sigmoid = isinstance(whole, hf.SiglipModel)
    assert model.spec.loss.name == ("siglip" if sigmoid else "info-nce")
    if sigmoid:
        assert model.loss.logit_bias.item() == whole.logit_bias.item()

    out = zoo.to_huggingface(model, tmp_path / "out")
    again = hf.AutoModel.from_pretrained(out).eval()
    assert type(again) is type(whole)
    before, after = whole.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    tokens = hf.AutoTokenizer.from_pretrained(out)(TEXTS[0])["input_ids"]
    assert tokens == hf.AutoTokenizer.from_pretrained(folder)(TEXTS[0])["input_ids"]
    same = [hf.AutoImageProcessor.from_pretrained(each)(picture) for each in (folder, out)]
    assert torch.equal(*(torch.as_tensor(each["pixel_values"][0]) for each in same))

    saved = zoo.save(model, tmp_path / "mine", self_contained=True)
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink()
    again = zoo.load(saved).eval()
    assert torch.equal(again.embed_texts(TEXTS), model.embed_texts(TEXTS))
    close(again.embed_images(picture), model.embed_images(picture), atol=1e-6)
    assert again.provenance["loss"] == model.provenance["loss"]


def test_the_loss_of_siglip_is_theirs(tmp_path, picture):
    """The same value from the same checkpoint, and what training changes goes back out."""
    folder = siglip(tmp_path / "theirs")
    model = zoo.from_huggingface(folder).eval()
    whole = hf.AutoModel.from_pretrained(folder).eval()
    pixels, tokens = torch.randn(3, 3, 32, 32), model.tokenize(TEXTS)
    with torch.no_grad():
        expected = whole(pixel_values=pixels, **tokens, return_loss=True).loss
        ours = model.loss(model.encode_image(pixels), model.encode_text(**tokens))
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    model.loss.logit_bias.data.fill_(-11.25)
    again = hf.AutoModel.from_pretrained(zoo.to_huggingface(model, tmp_path / "out"))
    assert again.logit_bias.item() == -11.25
    spec = json.loads(model.spec.model_dump_json())
    spec["loss"] = {"name": "info-nce", "args": {}}
    other = zoo.build(spec)
    out = hf.AutoModel.from_pretrained(zoo.to_huggingface(other, tmp_path / "other"))
    assert out.logit_scale.item() == other.loss.logit_scale.item()


@pytest.mark.parametrize("kind", ["CLIPModel", "VisionTextDualEncoderModel"])
def test_linear_heads_go_into_the_projections(kind, tmp_path, picture):
    folder = KINDS[kind](tmp_path / "theirs")
    spec = json.loads(zoo.from_huggingface(folder).spec.model_dump_json())
    spec["embedding_dim"] = 12
    spec["image"]["head"] = spec["text"]["head"] = {"name": "linear", "args": {}}
    model = zoo.build(spec).eval()
    out = zoo.to_huggingface(model, tmp_path / "out")
    _, images, texts = theirs(out, model, picture)
    close(model.embed_texts(TEXTS), texts)
    close(model.embed_images(picture), images, atol=2e-3)


def test_what_transformers_cannot_say(tmp_path):
    folder = clip(tmp_path / "theirs")
    spec = json.loads(zoo.from_huggingface(folder).spec.model_dump_json())
    spec["image"]["head"] = {"name": "mlp-gelu", "args": {}}
    with pytest.raises(FolderError, match=r"image.head: MLPHead is no single matrix"):
        zoo.to_huggingface(zoo.build(spec), tmp_path / "out")
    spec["image"] |= {"encoder": {"name": "timm/test_resnet"}, "weights": None}
    with pytest.raises(FolderError, match=r"'timm/\*' is no half of a dual encoder"):
        zoo.to_huggingface(zoo.build(spec), tmp_path / "out")
    with pytest.raises(FolderError, match="the model has no image tower"):
        zoo.to_huggingface(zoo.build(spec, towers=["text"]), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(FolderError, match="theirs: exists already"):
        zoo.to_huggingface(zoo.build(spec), folder)


def test_what_cannot_come_in(tmp_path):
    folder = clip(tmp_path / "theirs")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "blip"}))
    with pytest.raises(ArgumentError, match=r"has a model of the type 'blip'; what becomes a zoo"):
        zoo.from_huggingface(folder)
    with pytest.raises(ArgumentError, match=r"'blip' is none of the kinds that have an image half"):
        zoo.build({**zoo_spec(folder), "embedding_dim": 24}, towers=["image"])
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text('{"size": 32, "do_normalize": false}')
    with pytest.raises(WeightsError, match=r"prepares pictures in a way that zoo does not"):
        zoo.from_huggingface(folder)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match=r"preprocessor_config.json of .* is missing"):
        zoo.from_huggingface(folder)


def zoo_spec(folder):
    tower = {"encoder": f"hf/{folder}", "head": "identity"}
    return {"image": tower, "text": tower}


def test_preprocessing_of_2021(tmp_path, picture):
    """OpenAI's own file has plain numbers for sizes."""
    folder = clip(tmp_path / "theirs")
    said = {"size": 40, "crop_size": 32, "resample": 3, "do_center_crop": True}
    said |= {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 1, 1], "do_normalize": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    found = zoo.from_huggingface(folder).image_encoder.encoder.preprocess
    assert (found.resize, found.crop, found.interpolation) == (40, (32, 32), "bicubic")


@pytest.mark.usefixtures("clip_in_hub_cache")
def test_the_image_half_of_the_reference():
    """Full size, from a `.bin` without safetensors, as the hub lays it out."""
    from zoo.encoders.hf_image import create

    encoder = create("openai/clip-vit-base-patch32").eval()
    assert sum(each.numel() for each in encoder.parameters()) == 87_849_216
    assert (encoder.preprocess.crop, encoder.preprocess.interpolation) == ((224, 224), "bicubic")
    assert (encoder.out_dim, encoder.weights_source.file) == (512, "pytorch_model.bin")
