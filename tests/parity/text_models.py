"""Small seeded text models of every family, each laid out as its publishers serve it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from standins import enliven, write_clip_tokenizer

__all__ = ["TEXT_FAMILIES", "write_text_model"]

SENTENCES = [
    "a photograph of a cat that sleeps on the sofa, and of a dog that looks at it",
    "two pizzas with mushrooms, olives and a little too much cheese for one person",
    "the quick brown fox jumps over the lazy dog; 1234567890 times, it is said!",
    "naïve café, Straße, São Paulo, Łódź, Ελλάδα, Москва, ערב טוב, مرحبا, 日本語, 한국어",
]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
DEEP = {**SIZES, "intermediate_size": 64}


def write_text_model(family: str, folder: Path) -> None:
    """The config, weights and tokenizer of one of `TEXT_FAMILIES`."""
    import torch

    torch.manual_seed(60)
    TEXT_FAMILIES[family](folder)


def _save(model: Any, folder: Path) -> None:
    import torch

    enliven(model, torch.empty(0))
    model.eval().save_pretrained(folder)


def _clip(folder: Path, **text: Any) -> None:
    from transformers import CLIPConfig, CLIPModel

    own = {"vocab_size": 49408, "max_position_embeddings": 77, "projection_dim": 24, **DEEP, **text}
    vision = {**DEEP, "image_size": 32, "patch_size": 16}
    _save(CLIPModel(CLIPConfig(text_config=own, vision_config=vision, projection_dim=24)), folder)
    write_clip_tokenizer(folder)


def _openai(folder: Path) -> None:
    """The convention of 2021: an end token that the tokenizer does not have."""
    _clip(folder, bos_token_id=0, pad_token_id=1, eos_token_id=2, hidden_act="quick_gelu")


def _laion(folder: Path) -> None:
    _clip(folder, bos_token_id=49406, pad_token_id=1, eos_token_id=49407, hidden_act="gelu")


def _siglip(folder: Path) -> None:
    import sentencepiece as spm
    from transformers import SiglipConfig, SiglipModel, SiglipTokenizer

    options = {"unk_id": 2, "pad_id": 0, "eos_id": 1, "bos_id": -1, "minloglevel": 2}
    options |= {"vocab_size": 160, "hard_vocab_limit": False}
    with (folder / "spiece.model").open("wb") as file:
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(SENTENCES), model_writer=file, **options
        )
    # As the hub has it: no mask among the names of what the model reads.
    named = {"model_input_names": ["input_ids"], "model_max_length": 16}
    SiglipTokenizer(str(folder / "spiece.model"), **named).save_pretrained(folder)
    text = {"vocab_size": 160, "max_position_embeddings": 16, "projection_size": 24, **DEEP}
    vision = {**DEEP, "image_size": 32, "patch_size": 16}
    _save(SiglipModel(SiglipConfig(text_config=text, vision_config=vision)), folder)


def _wordpiece(folder: Path, tokenizer: Any, specials: list[str], limit: int) -> int:
    from tokenizers import BertWordPieceTokenizer

    trained = BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator(SENTENCES, vocab_size=300, special_tokens=specials)
    vocabulary = trained.get_vocab()
    tokenizer(vocab=vocabulary, model_max_length=limit).save_pretrained(folder)
    words = sorted(vocabulary, key=vocabulary.__getitem__)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return len(vocabulary)


_BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def _bert(folder: Path) -> None:
    """With the head of its pretraining, and norms named as in 2018."""
    from safetensors.torch import load_file, save_file
    from transformers import BertConfig, BertForMaskedLM, BertTokenizer

    words = _wordpiece(folder, BertTokenizer, _BERT, 40)
    config = BertConfig(vocab_size=words, max_position_embeddings=40, **DEEP)
    _save(BertForMaskedLM(config), folder)
    path = folder / "model.safetensors"
    state = load_file(path)
    for name in [name for name in state if "LayerNorm" in name]:
        old = name.replace("weight", "gamma").replace("bias", "beta")
        state[old] = state.pop(name)
    save_file(state, path, {"format": "pt"})


def _distilbert(folder: Path) -> None:
    from transformers import DistilBertConfig, DistilBertForMaskedLM, DistilBertTokenizer

    words = _wordpiece(folder, DistilBertTokenizer, _BERT, 40)
    config = DistilBertConfig(
        vocab_size=words, max_position_embeddings=40, dim=32, n_layers=2, n_heads=4, hidden_dim=64
    )
    _save(DistilBertForMaskedLM(config), folder)


def _mpnet(folder: Path) -> None:
    """As sentence-transformers publishes it, with how to pool beside it."""
    from transformers import MPNetConfig, MPNetModel, MPNetTokenizer

    specials = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
    words = _wordpiece(folder, MPNetTokenizer, specials, 40)
    config = MPNetConfig(vocab_size=words, max_position_embeddings=42, **DEEP)
    _save(MPNetModel(config), folder)
    (folder / "1_Pooling").mkdir()
    said = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 32, **said})
    )
    (folder / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": 38, "do_lower_case": False})
    )
    kinds = [("0", "", "Transformer"), ("1", "1_Pooling", "Pooling")]
    modules = [
        {"idx": int(idx), "name": idx, "path": path, "type": f"sentence_transformers.models.{kind}"}
        for idx, path, kind in kinds
    ]
    (folder / "modules.json").write_text(json.dumps(modules))


def _byte_pairs(specials: list[str]) -> Any:
    from tokenizers import ByteLevelBPETokenizer

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(SENTENCES, vocab_size=400, special_tokens=specials)
    return trained


_ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def _roberta(folder: Path) -> None:
    from transformers import RobertaConfig, RobertaForMaskedLM, RobertaTokenizer

    trained = _byte_pairs(_ROBERTA)
    trained.save_model(str(folder))
    RobertaTokenizer.from_pretrained(folder, model_max_length=40).save_pretrained(folder)
    config = RobertaConfig(
        vocab_size=trained.get_vocab_size(), max_position_embeddings=42, type_vocab_size=1, **DEEP
    )
    _save(RobertaForMaskedLM(config), folder)


def _xlm_roberta(folder: Path) -> None:
    """Without a limit in its tokenizer: the positions alone say how long a text may be."""
    from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaTokenizer

    trained = _unigram(_ROBERTA, "<unk>")
    XLMRobertaTokenizer(vocab=_scores(trained)).save_pretrained(folder)
    config = XLMRobertaConfig(
        vocab_size=trained.get_vocab_size(), max_position_embeddings=42, type_vocab_size=1, **DEEP
    )
    _save(XLMRobertaModel(config), folder)


def _unigram(specials: list[str], unknown: str) -> Any:
    from tokenizers import SentencePieceUnigramTokenizer

    trained = SentencePieceUnigramTokenizer()
    trained.train_from_iterator(
        SENTENCES, vocab_size=200, special_tokens=specials, unk_token=unknown, show_progress=False
    )
    return trained


def _scores(trained: Any) -> list[tuple[str, float]]:
    return [tuple(each) for each in json.loads(trained.to_str())["model"]["vocab"]]


def _t5(folder: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

    trained = _unigram(["<pad>", "</s>", "<unk>"], "<unk>")
    tokenizer = T5Tokenizer(vocab=_scores(trained), extra_ids=0, model_max_length=40)
    tokenizer.save_pretrained(folder)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4
    )
    _save(T5ForConditionalGeneration(config), folder)


def _modernbert(folder: Path) -> None:
    from tokenizers.processors import TemplateProcessing
    from transformers import ModernBertConfig, ModernBertForMaskedLM, PreTrainedTokenizerFast

    trained = _byte_pairs(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"])
    trained._tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "cls", "sep", "pad", "mask")}
    PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer, model_max_length=64, **names
    ).save_pretrained(folder)
    config = ModernBertConfig(
        vocab_size=trained.get_vocab_size(),
        max_position_embeddings=64,
        local_attention=8,
        global_attn_every_n_layers=2,
        bos_token_id=1,
        cls_token_id=1,
        eos_token_id=2,
        sep_token_id=2,
        pad_token_id=3,
        **DEEP,
    )
    _save(ModernBertForMaskedLM(config), folder)


TEXT_FAMILIES: dict[str, Callable[[Path], None]] = {
    "openai-clip": _openai,
    "laion-clip": _laion,
    "siglip": _siglip,
    "bert": _bert,
    "distilbert": _distilbert,
    "mpnet": _mpnet,
    "roberta": _roberta,
    "xlm-roberta": _xlm_roberta,
    "t5": _t5,
    "modernbert": _modernbert,
}
