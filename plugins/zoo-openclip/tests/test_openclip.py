"""zoo-openclip: names, tags, strict loading, activation, and what a tower alone must do."""

import pickle

import open_clip
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import zoo
from zoo.errors import ArgumentError, DataError, UnknownNameError, WeightsError
from zoo.registry import catalog
from zoo_openclip import configs, image, text

SMALL = "small-ViT-B-32"
MODULES = pytest.mark.parametrize("module", [image, text])


def _state(name=SMALL, **options):
    torch.manual_seed(4)
    return open_clip.create_model(name, load_weights=False, **options).state_dict()


def _spec(weights, **encoder_args):
    tower = {"encoder": f"openclip/{SMALL}", "weights": weights, "head": "identity"}
    if encoder_args:
        tower["encoder"] = {"name": tower["encoder"], "args": encoder_args}
    return {"embedding_dim": 32, "image": tower, "text": tower, "loss": "info-nce"}


def _pixels():
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))


def test_names():
    assert zoo.available("image_encoders", "zoo-openclip/*") == ["openclip/*"]
    assert zoo.available("text_encoders", "zoo-openclip/*") == ["openclip/*"]
    assert catalog().failures == ()


@MODULES
def test_unknown_names(module):
    with pytest.raises(UnknownNameError, match=r"no config 'ViT-B32'\. Did you mean 'ViT-B-32'"):
        module.create("ViT-B32", weights=None)
    with pytest.raises(UnknownNameError, match=r"no config 'hf-hub:somebody/model'"):
        module.weights_tags("hf-hub:somebody/model")
    with pytest.raises(
        UnknownNameError, match=r"ViT-B-32 has no weights 'opena1'; .* Did you mean 'openai'"
    ):
        module.create("ViT-B-32", weights="opena1")
    assert "laion2b_s34b_b79k" in module.weights_tags("ViT-B-32")


def test_a_tag_has_to_be_named():
    overrides = {"image.encoder": "openclip/ViT-B-32"}
    with pytest.raises(
        UnknownNameError,
        match=r"image\.weights .*has no weights 'default'; it has openai, laion400m_e31, .*metaclip",
    ):
        zoo.build("resnet50-clip", overrides=overrides, towers=["image"])


def test_a_config_without_weights():
    with pytest.raises(UnknownNameError, match=r"ViT-S-32 has no weights 'openai'; it has none"):
        image.create("ViT-S-32", weights="openai")


@MODULES
def test_not_cached_and_offline(module):
    with pytest.raises(WeightsError) as caught:
        module.create("ViT-B-16", weights="openai")
    said = str(caught.value)
    assert "open_clip_model.safetensors or open_clip_pytorch_model.bin of " in said
    assert "'timm/vit_base_patch16_clip_224.openai') are not cached and cannot be fetched" in said
    assert "hf download timm/vit_base_patch16_clip_224.openai --include 'open_clip_*'" in said


def test_a_tag_whose_repository_has_another_file():
    with pytest.raises(
        WeightsError,
        match=r"\(pytorch_model\.safetensors or pytorch_model\.bin of 'jienengchen/ViTamin-S'\) .*"
        r"hf download jienengchen/ViTamin-S --include 'pytorch_model\.\*'",
    ):
        image.create("ViTamin-S", weights="datacomp1b")


def test_a_tag_with_a_url_alone(monkeypatch, tmp_path):
    known = {"made": {"url": (tmp_path / "gone.pt").as_uri(), "hf_hub": ""}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "ViT-S-32", known)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(
        WeightsError, match=r"'made' of open_clip's ViT-S-32 \(gone\.pt of 'file:.*~/\.cache/clip"
    ):
        image.create("ViT-S-32", weights="made")


def test_the_config_of_a_text_tower_of_transformers_is_not_cached():
    with pytest.raises(
        WeightsError,
        match=r"config\.json .*not cached.*: hf download xlm-roberta-base config\.json",
    ):
        text.create("xlm-roberta-base-ViT-B-32", weights=None)


def test_a_tokenizer_is_not_cached():
    encoder = text.create("ViT-B-32", weights=None).tokenizer
    encoder._settings = {"hf_tokenizer_name": "somebody/gone"}
    with pytest.raises(
        WeightsError, match=r"tokenizer of open_clip's ViT-B-32, .*hf download somebody/gone "
    ):
        encoder(["a cat"])


def test_texts_that_are_none():
    tokenizer = text.create("ViT-S-32-alt", weights=None).tokenizer
    with pytest.raises(DataError, match="there are no texts"):
        tokenizer([])
    with pytest.raises(DataError, match="a text is a str, not 3"):
        tokenizer([3])
    with pytest.raises(DataError, match="has half a character at position 2"):
        tokenizer(["a \ud800"])


@pytest.mark.usefixtures("small_configs")
def test_ids_longer_than_the_context():
    ids = torch.ones(1, 78, dtype=torch.int64)
    with pytest.raises(DataError, match="reads 77 tokens, not 78"):
        text.create(SMALL, weights=None)(ids, ids)


@pytest.mark.usefixtures("small_configs")
@MODULES
def test_weights_come_whole_or_not_at_all(module, tag):
    part = {image: "visual.conv1.weight", text: "token_embedding.weight"}[module]
    state = _state()
    made = tag(SMALL, state)
    encoder = module.create(SMALL, weights=made)
    assert encoder.weights_source.tag == "made"
    assert encoder.weights_source.file == "open_clip_pytorch_model.bin"
    assert len(encoder.weights_source.sha256) == 64
    assert len(encoder.weights_source.revision) == 40
    for change, said in (
        ({key: value for key, value in state.items() if key != part}, "missing "),
        (state | {part: state[part][:-1]}, "has shape "),
    ):
        with pytest.raises(WeightsError, match=said):
            module.create(SMALL, weights=tag(SMALL, change))


@pytest.mark.usefixtures("small_configs")
def test_another_file_under_the_same_commit_is_refused(tag, cache, tmp_path):
    made = tag(SMALL, _state())
    source = image.create(SMALL, weights=made).weights_source
    (path,) = cache.glob(f"models--{source.source.replace('/', '--')}/snapshots/*/{source.file}")
    path.unlink()
    torch.save(_state() | {"visual.proj": torch.zeros(64, 32)}, path)
    with pytest.raises(WeightsError, match="that was there when zoo first read it"):
        text.create(SMALL, weights=made)


@pytest.mark.usefixtures("small_configs")
def test_a_tensor_too_many(tag):
    made = tag(SMALL, _state() | {"visual.extra": torch.ones(1)})
    with pytest.raises(
        WeightsError, match=r"the visual tower of .* with 'made': .*unexpected extra"
    ):
        image.create(SMALL, weights=made)
    assert text.create(SMALL, weights=made).weights_source.tag == "made"


class _Evil:
    def __reduce__(self):
        return (print, ("this ran",))


@pytest.mark.usefixtures("small_configs")
@pytest.mark.parametrize(
    ("content", "file"),
    [
        (b"no checkpoint", "open_clip_pytorch_model.bin"),
        (b"no checkpoint", "open_clip_model.safetensors"),
        ({}, "open_clip_pytorch_model.bin"),
        ([1, 2], "open_clip_pytorch_model.bin"),
        ({"visual.proj": _Evil()}, "open_clip_pytorch_model.bin"),
    ],
)
def test_damaged_files(content, file, tag, capfd):
    made = tag(SMALL, content, file)
    with pytest.raises(
        WeightsError, match=rf"{file}: not a whole checkpoint of open_clip: .*Delete"
    ):
        image.create(SMALL, weights=made)
    assert capfd.readouterr().out == ""


@pytest.mark.usefixtures("small_configs")
def test_what_is_no_tensor(tag):
    made = tag(SMALL, {"visual.proj": "a word"})
    with pytest.raises(WeightsError, match=r"'visual\.proj' is not a tensor"):
        image.create(SMALL, weights=made)


@pytest.mark.usefixtures("small_configs")
def test_positions_of_another_size_are_stretched_as_open_clip_does(tag):
    state = _state(force_image_size=256, force_context_length=60)
    made = tag(SMALL, state)
    theirs = open_clip.create_model(SMALL, pretrained=made)
    ours = image.create(SMALL, weights=made), text.create(SMALL, weights=made)
    assert torch.equal(ours[0].tower.positional_embedding, theirs.visual.positional_embedding)
    assert torch.equal(ours[1].tower.positional_embedding, theirs.positional_embedding)


@pytest.mark.usefixtures("small_configs")
@MODULES
def test_positions_that_cannot_be_stretched(module, tag):
    state = _state()
    for key in ("visual.positional_embedding", "positional_embedding"):
        state[key] = torch.ones(24, 31)
    with pytest.raises(WeightsError, match=r"the weights do not fit the model: "):
        module.create(SMALL, weights=tag(SMALL, state))


def test_a_text_tower_of_apples_own_checkpoint(tag, small_configs):
    """Names turned back to Apple's; the image tower of the file is another matter."""
    name = "small-MobileCLIP-S1"
    encoder = text.create(name, weights=None)
    state = encoder.tower.state_dict()
    theirs = {"image_encoder.model.patch_embed.0.rbr_conv.0.conv.weight": torch.ones(1)}
    for key, value in state.items():
        for ours, apples in (
            ("transformer.resblocks.", "transformer."),
            ("text_projection", "projection_layer"),
            ("token_embedding", "embedding_layer"),
            ("positional_embedding", "positional_embedding.pos_embed.pos_embed"),
            ("ln_final", "final_layer_norm"),
            ("ln_1", "pre_norm_mha.0"),
            ("in_proj_", "qkv_proj."),
            ("attn.", "pre_norm_mha.1."),
            ("ln_2", "pre_norm_ffn.0"),
            ("mlp.c_fc", "pre_norm_ffn.1"),
            ("mlp.c_proj", "pre_norm_ffn.4"),
        ):
            key = key.replace(ours, apples)
        theirs[f"text_encoder.{key}"] = value
    made = tag(name, theirs | {"logit_scale": torch.ones(())})
    loaded = text.create(name, weights=made).tower.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


@pytest.mark.usefixtures("small_configs")
@MODULES
def test_the_activation_is_the_one_the_tag_was_trained_with(module, tag):
    made = tag(SMALL, _state(), quick_gelu=True)
    encoder = module.create(SMALL, weights=made)
    assert encoder.resolved_args == {"quick_gelu": True}
    assert "QuickGELU()" in repr(encoder)
    assert "QuickGELU()" not in repr(module.create(SMALL, weights=None))
    assert "QuickGELU()" in repr(module.create(SMALL, weights=None, quick_gelu=True))
    with pytest.raises(
        ArgumentError, match=r"'made' was trained with QuickGELU: quick_gelu = false would"
    ):
        module.create(SMALL, weights=made, quick_gelu=False)


def test_where_a_config_and_its_tag_do_not_agree_on_the_activation():
    """Known cases of a config with QuickGELU whose tag says nothing; the README tells of them."""
    found = [
        (name, tag)
        for name, tag in open_clip.list_pretrained()
        if configs.config_of(name).get("quick_gelu")
        and not open_clip.get_pretrained_cfg(name, tag).get("quick_gelu")
    ]
    assert found == [("roberta-ViT-B-32", "laion2b_s12b_b32k")]
    assert configs.activation("roberta-ViT-B-32", "laion2b_s12b_b32k", None)


@pytest.mark.usefixtures("small_configs")
def test_a_saved_model_keeps_activation_and_preprocessing(tag, tmp_path):
    settings = {"mean": (0.5,) * 3, "resize_mode": "squash", "interpolation": "bilinear"}
    made = tag(SMALL, _state(), quick_gelu=True, **settings)
    model = zoo.build(_spec(made)).eval()
    assert model.spec.image.encoder.args == {"quick_gelu": True}
    assert model.provenance["text.encoder"]["weights"]["source"].startswith("somebody/")
    again = zoo.load(zoo.save(model, tmp_path / "model")).eval()
    assert again.image_encoder.encoder.preprocess == model.image_encoder.encoder.preprocess
    assert again.image_encoder.encoder.preprocess.resize == (224, 224)
    with torch.no_grad():
        assert torch.equal(again.encode_image(_pixels()), model.encode_image(_pixels()))
        assert torch.equal(again.embed_texts(["a cat"]), model.embed_texts(["a cat"]))


@pytest.mark.usefixtures("small_configs")
def test_random_weights_and_a_wrong_argument(capfd):
    model = zoo.build(_spec("none", quick_gelu=True))
    assert model.provenance["image.encoder"]["weights"] is None
    assert model.embed_texts(["a cat", "a dog"]).shape == (2, 32)
    with pytest.raises(ArgumentError, match=r"no argument 'quickgelu'.*'quick_gelu'"):
        zoo.build(_spec("none", quickgelu=True))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("settings", "size", "said"),
    [
        ({"resize_mode": "longest"}, 224, r"to 224x224 in the mode 'longest', which"),
        ({}, (224, 112), r"to 224x112 in the mode 'shortest', which"),
        ({"interpolation": "random"}, 224, r"interpolation 'random', which"),
    ],
)
def test_preprocessing_that_cannot_be_said(settings, size, said, monkeypatch):
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "ViT-S-32", {"made": settings})
    with pytest.raises(UnknownNameError, match=said):
        configs.preprocess_of("ViT-S-32", "made", size)


def test_each_tower_is_alone():
    count = sum(each.numel() for each in image.create("ViT-B-32", weights=None).parameters())
    assert count == 87_849_216
    count = sum(each.numel() for each in text.create("ViT-B-32", weights=None).parameters())
    assert count == 63_428_096


@pytest.fixture(params=["ViT-B-32", "ViT-B-16-SigLIP", "ViT-H-14-worldwide", "coca_ViT-B-32"])
def encoder(request, small_configs, tokenizers_in_hub):
    """A text tower of every sort; the conformance kit has those whose tokenizer needs no network."""
    torch.manual_seed(2)
    return text.create(f"small-{request.param}", weights=None).eval()


def test_text_towers_export(encoder):
    args = tuple(encoder.tokenizer(["a cat", "a photo of a dog"]).values())
    exported = torch.export.export(encoder, args).module()
    torch.testing.assert_close(exported(*args), encoder(*args), atol=1e-5, rtol=0)


def test_text_towers_keep_type_and_device(encoder):
    assert encoder.bfloat16()(**encoder.tokenizer(["a cat"])).dtype == torch.bfloat16
    with FakeTensorMode(), torch.device("cuda"):
        elsewhere = text.create(encoder.tokenizer.config, weights=None)
        ids = torch.ones(2, 9, dtype=torch.int64)
        assert elsewhere(ids, ids).device.type == "cuda"


def test_text_towers_travel(encoder):
    batch = encoder.tokenizer(["a cat", "a photo of a dog"])
    again = pickle.loads(pickle.dumps(encoder))
    assert again.tokenizer(["a photo of a dog"])["input_ids"].equal(batch["input_ids"][1:])
    assert again(**batch).equal(encoder(**batch))


def test_every_parameter_of_a_text_tower_learns(encoder):
    encoder(**encoder.tokenizer(["a cat", "word " * 90])).square().sum().backward()
    assert all(each.grad is not None for each in encoder.parameters())


def test_a_batch_is_as_long_as_its_longest_text(encoder):
    mask = encoder.tokenizer(["a cat", "", "a photo of a dog"])["attention_mask"]
    assert mask.shape[1] < 9
    assert mask.sum(dim=1).argmax() == 2
    assert mask[:, 0].all()
