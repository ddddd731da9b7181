"""Tokens of many texts: keys that tell them apart, batches without padding."""

import hashlib

import pytest
import torch

from zoo.training import tokens as module
from zoo.training.tokens import Tokens


def ids_of(text):
    return [ord(letter) for letter in text]


def padding(width=None, pad=0):
    """A tokenizer of letters that pads to the longest text, or to a width."""

    def tokenize(texts):
        rows = [ids_of(text) for text in texts]
        length = width or max(map(len, rows))
        return {
            "input_ids": torch.tensor([row + [pad] * (length - len(row)) for row in rows]),
            "attention_mask": torch.tensor(
                [[1] * len(row) + [0] * (length - len(row)) for row in rows]
            ),
        }

    return tokenize


TEXTS = ["abc", "a", "xyz", "ab", "abcdef", "b"]


@pytest.mark.parametrize("at_once", [1, 2, 1024])
def test_batches_have_one_length_and_every_text_once(at_once, monkeypatch):
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    found = Tokens(padding(), TEXTS)
    batches = found.batches(range(len(TEXTS)), 2)
    assert batches == [[1, 5], [3], [0, 2], [4]]
    for batch in batches:
        said = found.batch(batch)
        assert said["input_ids"].tolist() == [ids_of(TEXTS[index]) for index in batch]
        assert torch.equal(said["attention_mask"], torch.ones_like(said["input_ids"]))
        assert said["input_ids"].dtype == said["attention_mask"].dtype == torch.int64
    assert found.batches([4, 0], 8) == [[0], [4]]


def test_keys_do_not_depend_on_padding(monkeypatch):
    whole = Tokens(padding(), TEXTS).keys()
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    assert Tokens(padding(pad=9), TEXTS).keys() == whole
    assert len(set(whole)) == len(TEXTS)
    ids = torch.tensor(ids_of("abc")).numpy().astype("<i8").tobytes()
    assert whole[0] == hashlib.sha256(ids + b"\1\1\1").digest()


@pytest.mark.parametrize("texts", [TEXTS, [*TEXTS, "as long as"[:9]]])
def test_a_tokenizer_of_one_length_is_taken_at_its_word(texts):
    """Also where a text fills that length: what is said of a text does not depend on its company."""
    found = Tokens(padding(width=9), texts)
    assert found.lengths.tolist() == [9] * len(texts)
    said = found.batch([0])
    assert said["input_ids"].tolist() == [[*ids_of("abc"), *[0] * 6]]
    assert said["attention_mask"].tolist() == [[1] * 3 + [0] * 6]


def test_holes_in_a_mask_are_kept():
    def tokenize(texts):
        said = padding()(texts)
        said["attention_mask"][:, 0] = 0
        return said

    holed = Tokens(tokenize, ["abc", "abd"])
    assert holed.batch([1])["attention_mask"].tolist() == [[0, 1, 1]]
    assert holed.keys()[0] != Tokens(padding(), ["abc"]).keys()[0]
