"""Repositories of transformers that hold more than their config says, or ask for more than weights."""

import json
import shutil
from functools import partial

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

import zoo
from duals import clip, dual, siglip
from zoo.encoders import hf_image, hf_text
from zoo.errors import WeightsError


def change(path, **changes):
    """Change a table of JSON; a key with two underscores is of a table in it."""
    said = json.loads(path.read_text())
    for key, value in changes.items():
        *outer, last = key.split("__")
        table = said
        for each in outer:
            table = table[each]
        table[last] = value
    path.write_text(json.dumps(said))


def rewrite(path, made):
    save_file(made(load_file(path)), path, metadata={"format": "pt"})


@pytest.fixture
def bert(tmp_path):
    """Four layers, with all that pretraining leaves beside them."""
    folder = dual(tmp_path / "dual").rename(tmp_path / "bert")
    torch.manual_seed(0)
    config = hf.BertConfig(
        vocab_size=10,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=20,
    )
    hf.BertForPreTraining(config).save_pretrained(folder)
    rewrite(
        folder / "model.safetensors",
        lambda state: state | {"bert.embeddings.position_ids": torch.arange(20)[None]},
    )
    return folder


def test_heads_and_what_old_checkpoints_hold_are_no_fault(bert):
    names = set(load_file(bert / "model.safetensors"))
    assert {"bert.pooler.dense.weight", "cls.seq_relationship.weight"} < names
    encoder = hf_text.create(str(bert))
    assert len(encoder.backbone.encoder.layer) == 4


@pytest.mark.parametrize("way", ["its own", "by address"])
def test_layers_that_the_config_does_not_have(bert, way, tmp_path):
    weights = "default"
    if way == "by address":
        shutil.copy(bert / "model.safetensors", tmp_path / "four.safetensors")
        weights = f"file:{tmp_path}/four.safetensors"
    change(bert / "config.json", num_hidden_layers=2)
    with pytest.raises(
        WeightsError,
        match=r"safetensors: holds more than the model of its config.json: 32 tensors of parts that "
        r"the model has, such as (bert\.)?encoder.layer.2.attention.output.LayerNorm.bias; see how",
    ):
        hf_text.create(str(bert), weights=weights)


@pytest.mark.parametrize("side", ["text", "vision"])
@pytest.mark.parametrize(
    "make", [clip, siglip, dual, partial(dual, image="clip")], ids=["clip", "siglip", "dual", "2"]
)
def test_halves_with_layers_too_many(make, side, tmp_path):
    folder = str(make(tmp_path / "it"))
    create = {"text": hf_text.create, "vision": hf_image.create}
    change(tmp_path / "it" / "config.json", **{f"{side}_config__num_hidden_layers": 1})
    with pytest.raises(
        WeightsError, match=r"holds more than the model of its config.json: 16 tens"
    ):
        create.pop(side)(folder)
    for other in create.values():
        other(folder)


def test_a_surplus_within_a_layer(bert):
    name = "bert.encoder.layer.0.output.dense.weight_scale"
    rewrite(bert / "model.safetensors", lambda state: state | {name: torch.ones(1)})
    with pytest.raises(WeightsError, match=r"1 tensors of parts .*layer.0.output.dense.weight_sca"):
        hf_text.create(str(bert))


@pytest.mark.parametrize("image", ["vit", "clip"])
def test_of_two_encoders_only_one_is_read(image, tmp_path):
    folder = dual(tmp_path / "it", image=image)
    path = folder / "model.safetensors"
    before = load_file(path)
    vision = hf_image.create(str(folder)).backbone.state_dict()
    text = hf_text.create(str(folder)).backbone.state_dict()
    whole = hf.AutoModel.from_pretrained(folder)
    for ours, theirs in ((vision, whole.vision_model), (text, whole.text_model)):
        assert ours.keys() == theirs.state_dict().keys()
        assert all(torch.equal(ours[name], each) for name, each in theirs.state_dict().items())
    for own, create, other in (("text", hf_text, hf_image), ("vision", hf_image, hf_text)):
        kept = {name: each for name, each in before.items() if name.startswith(f"{own}_model.")}
        save_file(kept, path, metadata={"format": "pt"})
        create.create(str(folder))
        with pytest.raises(WeightsError, match=r"the weights do not fit the model: .* missing"):
            other.create(str(folder))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"attn_implementation": "somebody/kernel"}, "attn_implementation is 'somebody/kernel'"),
        ({"_attn_implementation": "flash_attention_2"}, "_attn_implementation is 'flash_atten"),
        ({"_attn_implementation_internal": "a/b:c"}, "_attn_implementation_internal is 'a/b:c'"),
        ({"_experts_implementation": "a/b"}, "_experts_implementation is 'a/b', which transform"),
        ({"attn_implementation": {"text": "a/b"}}, "attn_implementation is 'a/b'"),
        ({"text_config__attn_implementation": "a/b"}, "attn_implementation is 'a/b'"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "its quantization_config asks"),
        ({"text_config__quantization_config": {}}, "its quantization_config asks for another li"),
    ],
)
def test_configs_that_would_fetch_and_run(changes, said, tmp_path):
    folder = clip(tmp_path / "it")
    change(folder / "config.json", **changes)
    for create in (hf_text.create, hf_image.create):
        with pytest.raises(WeightsError, match=rf"config.json: .*{said}"):
            create(str(folder))
    with pytest.raises(WeightsError, match=said):
        zoo.from_huggingface(folder)


@pytest.mark.parametrize("chosen", [None, "eager", "sdpa"])
def test_what_transformers_has_itself(chosen, tmp_path):
    folder = clip(tmp_path / "it")
    change(folder / "config.json", attn_implementation=chosen, quantization_config=None)
    hf_text.create(str(folder))


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ({}, "has no table weight_map, so it is no index of weights"),
        ({"weight_map": ["a"]}, "has no table weight_map"),
        ({"weight_map": {"a": 3}}, "'a' is said to be in 3, which is no file beside it"),
        ({"weight_map": {"a": "../b.safetensors"}}, "which is no file beside it"),
        ({"weight_map": {"a": "b.safetensors"}}, "b.safetensors of .* is missing in"),
        ([], "index.json: "),
    ],
)
def test_an_index_that_is_none(index, said, tmp_path):
    folder = clip(tmp_path / "it")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match=said):
        zoo.from_huggingface(folder)


@pytest.mark.parametrize(
    ("name", "tensor", "said"),
    [
        ("logit_scale", torch.ones(3), r"logit_scale has shape \(3,\), and is one number"),
        ("logit_scale", torch.ones(0), r"logit_scale has shape \(0,\), and is one number"),
        ("logit_bias", torch.ones(2), r"logit_bias has shape \(2,\), and is one number"),
        ("visual_projection.weight", torch.tensor(1.0), r"has shape \(\), and is a matrix"),
        ("text_projection.weight", torch.ones(3), r"has shape \(3,\), and is a matrix"),
    ],
)
def test_tensors_of_another_shape(name, tensor, said, tmp_path):
    folder = dual(tmp_path / "it")
    rewrite(folder / "model.safetensors", lambda state: state | {name: tensor})
    with pytest.raises(WeightsError, match=said):
        zoo.from_huggingface(folder)


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (None, "its weights have no logit_bias"),
        (torch.ones(2), r"logit_bias has shape \(2,\), and is one number"),
        (torch.tensor(torch.nan), "logit_bias is nan, which is no bias"),
    ],
)
def test_a_siglip_without_a_bias(tensor, said, tmp_path):
    folder = siglip(tmp_path / "it")
    new = {} if tensor is None else {"logit_bias": tensor}
    rewrite(
        folder / "model.safetensors",
        lambda state: {name: each for name, each in state.items() if name != "logit_bias"} | new,
    )
    with pytest.raises(WeightsError, match=said):
        zoo.from_huggingface(folder)


@pytest.mark.parametrize("width", ["x", None, [1], -3])
def test_a_width_that_is_none(width, tmp_path):
    folder = clip(tmp_path / "it")
    change(folder / "config.json", projection_dim=width)
    with pytest.raises(WeightsError, match=r"config.json: (says that the width|not a model)"):
        zoo.from_huggingface(folder)


def test_a_damaged_download_is_not_recorded(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    root = tmp_path / "hub" / "models--me--clip"
    folder = root / "snapshots" / ("a" * 40)
    folder.parent.mkdir(parents=True)
    clip(folder)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("a" * 40)
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for open_it in (hf_image.create, zoo.from_huggingface):
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(WeightsError, match=r"model.safetensors"):
            open_it("me/clip")
    path.write_bytes(whole)
    zoo.from_huggingface("me/clip")
