"""HuggingFace text encoders from small seeded folders: pooling, context, refusals."""

import json
import os
import shutil
from pathlib import Path
from typing import get_args

import pytest
import torch
from transformers import (
    BertModel,
    GPT2Config,
    GPT2Model,
    SiglipTextConfig,
    SiglipTextModel,
)

from standins import bert_folder, write_clip_tokenizer
from zoo.encoders.hf_text import create
from zoo.encoders.pooling import Pooling, pool
from zoo.errors import ArgumentError, DataError, WeightsError


@pytest.fixture
def bert(tmp_path):
    return bert_folder(tmp_path / "bert")


def test_mean_is_the_default_for_bert(bert):
    encoder = create(str(bert)).eval()
    assert encoder.pooling == "mean"
    assert encoder.out_dim == 16
    assert encoder.context_length == 20
    tokens = encoder.tokenizer(["a cat", "a dog pizza cat"])
    reference = BertModel.from_pretrained(bert).eval()
    with torch.no_grad():
        states = reference(**tokens).last_hidden_state
        ours = encoder(**tokens)
    for row, mask, mine in zip(states, tokens["attention_mask"], ours, strict=True):
        torch.testing.assert_close(mine, row[mask.bool()].mean(0), atol=1e-6, rtol=0)


def test_a_sentence_transformers_folder_says_how_it_pools(bert):
    (bert / "1_Pooling").mkdir()
    said = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (bert / "1_Pooling" / "config.json").write_text(json.dumps(said))
    (bert / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 12}))
    encoder = create(str(bert))
    assert encoder.pooling == encoder.resolved_args["pooling"] == "cls"  # a saved spec keeps it
    assert encoder.context_length == 12
    assert encoder.tokenizer(["a cat " * 30])["input_ids"].shape == (1, 12)
    assert create(str(bert), pooling="last").pooling == "last"
    (bert / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(ArgumentError, match="pools in a way that zoo has no name for"):
        create(str(bert))


@pytest.fixture
def gpt2(tmp_path):
    folder = tmp_path / "gpt2"
    torch.manual_seed(0)
    GPT2Model(
        GPT2Config(vocab_size=49408, n_embd=8, n_layer=1, n_head=2, n_positions=30)
    ).save_pretrained(folder)
    write_clip_tokenizer(folder)
    return folder


def test_the_last_token_is_the_default_for_causal_models(gpt2):
    encoder = create(str(gpt2)).eval()
    assert encoder.pooling == "last"
    assert encoder.out_dim == 8
    assert encoder.context_length == 30


def test_pooling_at_the_end_needs_a_tokenizer_that_ends_texts(gpt2, bert):
    config = json.loads((gpt2 / "config.json").read_text())
    (gpt2 / "config.json").write_text(json.dumps(config | {"eos_token_id": 49407}))
    encoder = create(str(gpt2), pooling="eos").eval()
    tokens = encoder.tokenizer(["a cat", "a dog and a cat with pizza"])
    with torch.no_grad():  # the last token is the end token
        assert torch.equal(encoder(**tokens), create(str(gpt2)).eval()(**tokens))
    config = json.loads((bert / "config.json").read_text())
    words = (bert / "vocab.txt").read_text().split()
    for name in ("[PAD]", "[CLS]"):  # never among a text's tokens, and at its beginning
        end = words.index(name)
        (bert / "config.json").write_text(json.dumps(config | {"eos_token_id": end}))
        with pytest.raises(
            ArgumentError, match=rf"does not end texts with the end token of its config \({end}\)"
        ):
            create(str(bert), pooling="eos")


def test_a_tokenizer_without_padding_gets_some(gpt2):
    (gpt2 / "special_tokens_map.json").write_text('{"eos_token": "<|endoftext|>"}')
    settings = {"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>", "pad_token": None}
    (gpt2 / "tokenizer_config.json").write_text(json.dumps(settings))
    encoder = create(str(gpt2)).eval()
    both = encoder.tokenizer(["a cat", "a dog and a cat with pizza"])
    alone = encoder.tokenizer(["a cat"])
    assert both["input_ids"].shape[1] > alone["input_ids"].shape[1]
    with torch.no_grad():
        torch.testing.assert_close(encoder(**both)[:1], encoder(**alone))


def test_siglip_does_not_see_the_other_texts(tmp_path):
    folder = tmp_path / "siglip"
    torch.manual_seed(0)
    text = SiglipTextConfig(
        vocab_size=49408,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=12,
    )
    SiglipTextModel(text).save_pretrained(folder)
    write_clip_tokenizer(folder)
    encoder = create(str(folder)).eval()
    assert encoder.pooling is None
    tokens = encoder.tokenizer(["a cat", "a dog and a cat"])
    assert tokens["input_ids"].shape == (2, 12)
    with torch.no_grad():
        torch.testing.assert_close(encoder(**tokens)[:1], encoder(**encoder.tokenizer(["a cat"])))


def test_damaged_small_files(bert):
    (bert / "tokenizer_config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"tokenizer_config.json: cannot be read"):
        create(str(bert))


@pytest.fixture
def bert_in_hub_cache(bert):
    folder = Path(os.environ["HF_HOME"], "hub", "models--somebody--bert")
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc123")
    shutil.copytree(bert, folder / "snapshots" / "abc123")
    yield folder
    shutil.rmtree(folder)


def test_from_the_hubs_cache(bert_in_hub_cache):
    with pytest.raises(
        WeightsError,
        match=r"whether 'somebody/bert' has 1_Pooling/config.json is not known.*argument pooling",
    ):
        create("somebody/bert")
    encoder = create("somebody/bert", pooling="cls")
    assert encoder.pooling == "cls"
    assert encoder.resolved_args == {"revision": "abc123"}
    known_absent = bert_in_hub_cache / ".no_exist" / "abc123" / "1_Pooling" / "config.json"
    known_absent.parent.mkdir(parents=True)
    known_absent.touch()
    assert create("somebody/bert").pooling == "mean"


def test_a_folder_here_takes_the_place_of_no_revision(bert, bert_in_hub_cache):
    """Of a repository's name, as `git clone` leaves it in the working folder."""
    shutil.copytree(bert, "somebody/bert")
    source = create("somebody/bert", pooling="cls", revision="main").weights_source
    assert (source.source, source.revision) == ("somebody/bert", "abc123")
    assert create("somebody/bert").weights_source.is_local
    with pytest.raises(
        ArgumentError, match=r"'./somebody/bert' is a folder, which has no revision"
    ):
        create("./somebody/bert", revision="abc123")
    with pytest.raises(
        WeightsError, match="'somebody/bert' cannot be loaded: nothing of it is cached"
    ):
        create("somebody/bert", revision="other")


def test_a_half_filled_cache_is_not_enough(bert_in_hub_cache):
    for name in ("tokenizer.json", "vocab.txt"):
        (bert_in_hub_cache / "snapshots" / "abc123" / name).unlink(missing_ok=True)
    with pytest.raises(
        WeightsError, match=r"'somebody/bert' cannot be loaded: the tokenizer of .* is missing"
    ):
        create("somebody/bert", pooling="cls")


def test_a_shard_that_is_missing(bert):
    (bert / "model.safetensors").rename(bert / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (bert / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(WeightsError, match=r"model-00002-of-00002.safetensors of .* is missing"):
        create(str(bert))


STATES = torch.arange(24.0).reshape(2, 4, 3)
IDS = torch.tensor([[5, 6, 9, 0], [0, 5, 9, 9]])
MASK = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]])


@pytest.mark.parametrize(
    ("pooling", "positions"), [("cls", (0, 1)), ("last", (2, 3)), ("eos", (2, 2))]
)
def test_pooling_by_position_whichever_side_is_padded(pooling, positions):
    found = pool(STATES, IDS, MASK, pooling, eos_token_id=9)
    expected = torch.stack([STATES[row, position] for row, position in enumerate(positions)])
    assert torch.equal(found, expected)


@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_pooling_is_exported_for_batches_of_any_size(pooling):
    class Pool(torch.nn.Module):
        def forward(self, states, ids, mask):
            return pool(states, ids, mask, pooling, eos_token_id=9)

    given = (STATES, IDS, MASK)
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(Pool(), given, dynamic_shapes=({0: batch},) * 3).module()
    four = tuple(torch.cat([each, each]) for each in given)
    assert torch.equal(exported(*four), Pool()(*four))


def test_without_an_end_token_nothing_is_pooled():
    with pytest.raises(
        DataError, match=r"input_ids: row 1 has no end token \(6\), and the encoder"
    ):
        pool(STATES, IDS, MASK, "eos", eos_token_id=6)


def test_mean_pooling_leaves_padding_out():
    found = pool(STATES, IDS, MASK, "mean")
    assert torch.equal(found, torch.stack([STATES[0, :3].mean(0), STATES[1, 1:].mean(0)]))


def test_random_weights_need_the_config_only(bert):
    (bert / "model.safetensors").unlink()
    encoder = create(str(bert), weights=None)
    assert encoder.weights_source is None
    with pytest.raises(
        WeightsError, match=r"the weights of .* are missing: none of model.safetensors"
    ):
        create(str(bert))


def test_a_checkpoint_of_another_model_is_refused(bert):
    config = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(
        WeightsError, match=r"the weights do not fit the model: 16 tensors are missing"
    ):
        create(str(bert))


def test_truncated_weights(bert):
    path = bert / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"model.safetensors: cannot be loaded: "):
        create(str(bert))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pooling": "eos"}, "has no end token in its config, so pooling 'eos' cannot work"),
        ({"context_length": 21}, "reads 1 to 20 tokens, not 21"),
        ({"weights": "best"}, "has the weights 'default' or none, not 'best'"),
    ],
)
def test_arguments_that_do_not_fit(bert, options, said):
    with pytest.raises(ArgumentError, match=said):
        create(str(bert), **options)


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(WeightsError, match=r"config.json of .* is missing"):
        create(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "of my own"}')
    with pytest.raises(WeightsError, match=r"the tokenizer of .* is missing"):
        create(str(tmp_path), weights=None)
    (tmp_path / "vocab.txt").write_text("a")
    with pytest.raises(WeightsError, match="not a model that transformers knows"):
        create(str(tmp_path), weights=None)


def test_adapters_beside_the_weights_are_refused_whether_peft_is_there_or_not(bert):
    config = {"peft_type": "LORA", "base_model_name_or_path": "somebody/else"}
    (bert / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(
        WeightsError,
        match=r"adapter_config.json: the weights come with adapters that are not merged",
    ):
        create(str(bert))


def test_code_in_a_repository_is_never_run(bert, tmp_path):
    config = json.loads((bert / "config.json").read_text())
    config |= {
        "model_type": "mine",
        "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"},
    }
    (bert / "config.json").write_text(json.dumps(config))
    canary = tmp_path / "canary"
    (bert / "evil.py").write_text(f"open({str(canary)!r}, 'w')")
    with pytest.raises(WeightsError):
        create(str(bert))
    assert not canary.exists()
