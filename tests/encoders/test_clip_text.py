"""The text half of CLIP ViT-B/32, at full size, from a folder laid out as the hub's cache."""

import json

import pytest
import torch

import zoo
from standins import write_clip_tokenizer
from zoo.encoders.clip_text import REPOSITORY, REVISION, create
from zoo.weights.hub import hub_files

pytestmark = pytest.mark.long

ODD = ["", "a cat", "pizza " * 200, "日本語 and 🍕 emoji", "UPPER   case\n\ttabs"]


@pytest.fixture(scope="module")
def encoder(clip_in_hub_cache):
    return create().eval()


@pytest.fixture(scope="module")
def whole(clip_in_hub_cache):
    """All of CLIP, loaded by transformers itself."""
    from transformers import CLIPModel

    return CLIPModel.from_pretrained(clip_in_hub_cache, use_safetensors=False).eval()


def test_only_the_text_half_is_built(encoder):
    assert sum(p.numel() for p in encoder.parameters()) == 63_428_096
    assert encoder.out_dim == 512
    assert encoder.context_length == 77


def test_random_and_loaded_have_the_same_parts(encoder):
    bare = create(weights=None)
    shapes = {name: tensor.shape for name, tensor in bare.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in encoder.state_dict().items()}
    assert bare.backbone.config.eos_token_id == encoder.backbone.config.eos_token_id == 2
    assert bare.weights_source is None
    assert encoder.weights_source.revision == "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268"
    assert encoder.weights_source.tag == "openai"
    assert encoder.weights_source.file == "pytorch_model.bin"


def test_equal_to_the_whole_model(encoder, whole):
    tokens = encoder.tokenizer(ODD)
    with torch.no_grad():
        theirs = whole.get_text_features(**tokens)
        theirs = getattr(theirs, "pooler_output", theirs)
        ours = encoder(**tokens)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_padding_does_not_matter(encoder):
    tokens = encoder.tokenizer(["a cat", "pizza " * 200])
    alone = encoder.tokenizer(["a cat"])
    assert alone["input_ids"].shape[1] < tokens["input_ids"].shape[1]
    with torch.no_grad():
        torch.testing.assert_close(encoder(**tokens)[:1], encoder(**alone), atol=1e-5, rtol=0)


def test_tokens(encoder):
    tokens = encoder.tokenizer(ODD)
    assert tokens["input_ids"].shape == tokens["attention_mask"].shape == (len(ODD), 77)
    ends = (tokens["input_ids"] == 49407).int().argmax(1)
    assert ends[0] == 1
    assert ends[2] == 76, "long text is cut with its end token kept"
    assert (tokens["input_ids"][:, 0] == 49406).all()


def test_tokens_are_those_of_open_clip(encoder):
    import open_clip

    texts = ["a photo of a cat", "Hello, World! it's 3 o'clock", "two  spaces", "naïve café"]
    theirs = open_clip.tokenize(texts)
    ours = encoder.tokenizer(texts)
    for row, mask, their in zip(ours["input_ids"], ours["attention_mask"], theirs, strict=True):
        assert row[mask.bool()].tolist() == their[their != 0].tolist()


def test_the_stand_in_has_the_vocabulary_of_clip(clip_in_hub_cache):
    lines = (clip_in_hub_cache / "merges.txt").read_text().splitlines()
    assert len(lines) == 48_895
    vocabulary = json.loads((clip_in_hub_cache / "vocab.json").read_text())
    assert (len(vocabulary), vocabulary["<|endoftext|>"], vocabulary["cat</w>"]) == (
        49408,
        49407,
        2368,
    )


def test_a_folder_here_takes_the_place_of_no_pinned_file(clip_in_hub_cache, tmp_path):
    folder = tmp_path / REPOSITORY
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    write_clip_tokenizer(folder)
    assert hub_files(REPOSITORY, REVISION, weights=False).folder == clip_in_hub_cache


def test_unknown_weights():
    with pytest.raises(zoo.ZooError, match="has no weights 'laion'; it has openai"):
        create(weights="laion")


def test_truncated_weights(clip_in_hub_cache):
    file = clip_in_hub_cache / "pytorch_model.bin"
    whole_file = file.rename(file.with_suffix(".kept"))
    try:
        with whole_file.open("rb") as source:
            file.write_bytes(source.read(1_000_000))
        with pytest.raises(zoo.ZooError, match=r"pytorch_model.bin: not the file of .* pinned"):
            create()
    finally:
        whole_file.replace(file)
