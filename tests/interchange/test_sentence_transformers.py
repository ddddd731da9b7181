"""Text towers that sentence-transformers loads, with the same embeddings."""

import json

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer

import zoo
from duals import clip
from zoo.errors import FolderError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "dog", "pizza"]
TEXTS = ["a cat", "pizza, a dog", "", "a " * 60]


@pytest.fixture
def bert(tmp_path):
    folder = tmp_path / "bert"
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(
        **sizes, vocab_size=len(WORDS), intermediate_size=32, max_position_embeddings=20
    )
    BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def tower(folder, head="identity", dim=16, pooling="mean", **args):
    overrides = {
        "text.encoder": {"name": f"hf/{folder}", "args": {"pooling": pooling}},
        "text.head": {"name": head, "args": args},
        "embedding_dim": dim,
    }
    return zoo.build("resnet50-clip", towers=["text"], overrides=overrides).eval()


@pytest.mark.parametrize(
    ("head", "dim", "pooling", "args"),
    [
        ("identity", 16, "mean", {}),
        ("linear", 12, "cls", {}),
        ("linear", 12, "mean", {"bias": True}),
        ("mlp-gelu", 12, "last", {"hidden_dim": 30}),
    ],
)
def test_the_same_embeddings(bert, tmp_path, head, dim, pooling, args):
    library = pytest.importorskip("sentence_transformers")
    model = tower(bert, head, dim, pooling, **args)
    out = zoo.to_sentence_transformers(model, tmp_path / "out")
    theirs = library.SentenceTransformer(str(out), device="cpu")
    assert theirs.max_seq_length == 20
    found = theirs.encode(TEXTS, convert_to_tensor=True)
    torch.testing.assert_close(found, model.embed_texts(TEXTS), atol=1e-6, rtol=0)
    # And back again: zoo reads such a folder's pooling and length.
    if head == "identity":
        again = tower(out, pooling=None)
        assert again.text_encoder.encoder.pooling == pooling
        assert torch.equal(again.embed_texts(TEXTS), model.embed_texts(TEXTS))


def test_what_sentence_transformers_cannot_say(bert, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(FolderError, match=r"text.head: ResidualMLPHead cannot be said"):
        zoo.to_sentence_transformers(tower(bert, "residual-mlp"), out)
    with pytest.raises(FolderError, match=r"text.head: MLPHead cannot be said"):
        zoo.to_sentence_transformers(tower(bert, "mlp-gelu", normalize=True), out)
    model = zoo.from_huggingface(clip(tmp_path / "clip"))
    with pytest.raises(FolderError, match=r"text.encoder: pools by itself"):
        zoo.to_sentence_transformers(model, out)
    model.text_encoder = None
    with pytest.raises(FolderError, match="the model has no text tower"):
        zoo.to_sentence_transformers(model, out)
    assert not out.exists()
    with pytest.raises(FolderError, match="bert: exists already"):
        zoo.to_sentence_transformers(tower(bert), bert)
    assert json.loads((bert / "config.json").read_text())["model_type"] == "bert"


def test_adapters_are_merged_before(bert, tmp_path):
    overrides = {
        "text.encoder": f"hf/{bert}",
        "text.head": "identity",
        "text.train": {"lora": {"rank": 2}},
        "embedding_dim": 16,
    }
    model = zoo.build("resnet50-clip", towers=["text"], overrides=overrides).eval()
    with pytest.raises(FolderError, match=r"has adapters beside .* model\.merge_lora\(\) first"):
        zoo.to_sentence_transformers(model, tmp_path / "out")
    model.merge_lora()
    assert zoo.to_sentence_transformers(model, tmp_path / "out").is_dir()
