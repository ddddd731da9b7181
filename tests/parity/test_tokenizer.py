"""Tokens are those of each family's own tokenizer, whatever the text."""

import pytest
import torch
import transformers
from parity.tokens import ODD, TOKENIZERS, tokens_of_odd_texts

from standins import write_clip_tokenizer
from zoo.encoders import hf_text
from zoo.errors import DataError


@pytest.mark.parametrize("family", TOKENIZERS)
def test_odd_texts(text_folder, family):
    tokenizer = hf_text.create(str(text_folder(family)), weights=None).tokenizer
    for title, ours, theirs in tokens_of_odd_texts(family, text_folder(family)):
        assert ours == theirs, title
        assert tokenizer([ODD[title]])["input_ids"][0].tolist() == theirs, f"{title}, alone"


@pytest.mark.parametrize("family", TOKENIZERS)
def test_long_texts_keep_their_end(text_folder, family):
    own = hf_text.create(str(text_folder(family)), weights=None).tokenizer
    long, short = own([ODD["2,000 words"]])["input_ids"][0], own.tokenizer("a")["input_ids"]
    assert len(long) == own.context_length
    assert long[-1] == short[-1]


@pytest.mark.parametrize("family", ["openai-clip", "siglip", "bert"])
def test_half_a_character(text_folder, family):
    own = hf_text.create(str(text_folder(family)), weights=None).tokenizer
    with pytest.raises(DataError, match=r"the text 'a .ud83d' has half a character at position 2"):
        own(["a cat", "a \ud83d"])


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_empty_text_where_nothing_marks_start_and_end(tmp_path, side):
    """It is one end token, alone and among others."""
    torch.manual_seed(61)
    sizes = {"n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 30}
    config = transformers.GPT2Config(vocab_size=49408, **sizes)
    config.bos_token_id = config.eos_token_id = 49407
    transformers.GPT2Model(config).save_pretrained(tmp_path)
    write_clip_tokenizer(tmp_path)
    transformers.GPT2Tokenizer.from_pretrained(
        tmp_path, eos_token="<|endoftext|>", pad_token="<|endoftext|>", padding_side=side
    ).save_pretrained(tmp_path)
    encoder = hf_text.create(str(tmp_path)).eval()
    alone = encoder.tokenizer([""])
    assert alone["input_ids"].tolist() == [[49407]]
    assert alone["attention_mask"].tolist() == [[1]]
    with torch.no_grad():
        among = encoder(**encoder.tokenizer(["", "a cat on a sofa"]))
        torch.testing.assert_close(encoder(**alone)[0], among[0], atol=1e-6, rtol=0)
