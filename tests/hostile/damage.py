"""Damage to a whole file: to its bytes, or to the values that its JSON holds."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

__all__ = ["EDITS", "Kind", "damaged_json", "edited", "mutated"]

Kind = tuple[Callable[[Path], st.SearchStrategy[Any]], Callable[[Any, Path], None]]
"""What makes the things, given a folder to work in, and what reads one there."""

EDITS = st.lists(
    st.tuples(
        st.sampled_from(
            ["flip", "flip", "flip", "set", "cut", "insert", "splice", "repeat", "number"]
        ),
        st.integers(0, 2**24),
        st.integers(0, 2**24),
        st.one_of(
            st.binary(min_size=1, max_size=8),
            st.sampled_from([b"\0\0\0\0", b"\xff" * 8, b"\x7f\xff\xff\xff", b'"', b"{", b"[" * 9]),
        ),
    ),
    min_size=1,
    max_size=3,
)


def edited(whole: bytes, edits: list[tuple[str, int, int, bytes]]) -> bytes:
    data = bytearray(whole)
    for what, one, other, some in edits:
        # A third of the changes falls into the first bytes, where the headers are.
        size = max(1, len(data) if one % 3 else min(len(data), 200))
        at, to = (one // 3) % size, (other >> 1) % (len(data) + 1)
        if what == "flip" and data:
            data[at] ^= 1 << (other % 8)
        elif what == "set":
            data[at : at + len(some)] = some
        elif what == "cut" and other & 1:
            del data[at:]
        elif what == "cut":
            del data[at : at + 1 + other % 64]
        elif what == "insert":
            data[at:at] = some
        elif what == "splice":
            data[at:at] = data[to : to + 200]
        elif what == "repeat":
            data[at:at] = some * (1 + other % 500)
        elif what == "number":
            data[at : at + 1] = str(other * 10 ** (one % 9)).encode()
    return bytes(data)


def mutated(
    wholes: Callable[[], list[bytes]], mend: Callable[[bytes], bytes] = bytes
) -> Callable[[Path], st.SearchStrategy[bytes]]:
    def make(folder: Path) -> st.SearchStrategy[bytes]:
        found = wholes()
        for number, content in enumerate(found):
            (folder / f"whole-{number}").write_bytes(content)
        changed = st.tuples(st.sampled_from(found), EDITS).map(lambda each: edited(*each))
        return st.one_of(changed, changed.map(mend)) if mend is not bytes else changed

    return make


_ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 4096),
    st.sampled_from([10**5, 80_000_000, 2**31, 2**63, 10**30, -(10**400)]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["", "\ud800", "\0", "os:system", "../../etc/passwd", "/etc/passwd", "bert", "clip", "vit",
         "gpt2", "t5", "siglip", "roberta", "auto", "BertTokenizer", "LlamaTokenizer", "float16",
         "model.safetensors", "evil/kernel", "a" * 10_000]
    ),
    st.sampled_from([[], {}, [[]], [None], ["x"] * 40, {"x": 1}, {"": {}}, {"0": "LABEL_0"}]),
)  # fmt: skip
_KEYS = st.sampled_from(
    ["auto_map", "quantization_config", "_attn_implementation", "attn_implementation", "model_type",
     "architectures", "tie_word_embeddings", "torch_dtype", "dtype", "trust_remote_code",
     "text_config", "vision_config", "vocab_size", "hidden_size", "num_hidden_layers",
     "num_attention_heads", "image_size", "patch_size", "num_channels", "pruned_heads", "is_decoder",
     "name_or_path", "_name_or_path", "base_model_name_or_path", "fast_tokenizer_files",
     "vocab_file", "tokenizer_class", "chat_template", "image_processor", "id2label",
     "problem_type", "chunk_size_feed_forward", "eos_token_id", "pad_token_id", "hidden_act"]
)  # fmt: skip
_CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["set", "set", "set", "scale", "drop", "add"]),
        st.integers(0, 2**20),
        _KEYS,
        _ODD,
    ),
    min_size=1,
    max_size=3,
)


def _changed(whole: bytes, changes: list[tuple[str, int, str, Any]]) -> bytes:
    data = copy.deepcopy(json.loads(whole))
    for what, which, key, value in changes:
        places = list(_places(data))
        if not places:
            break
        table, at = places[which % len(places)]
        if what == "set":
            table[at] = value
        elif what == "scale" and isinstance(table[at], int | float):
            table[at] *= 1 + which % 100
        elif what == "drop":
            del table[at]
        elif what == "add":
            home = table if isinstance(table, dict) and which % 3 else data
            home[key] = value
    return json.dumps(data).encode()


def _places(value: Any) -> Any:
    """Everything that can be replaced: its container, and key or index there."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for at, inner in list(items):
        yield value, at
        if isinstance(inner, dict | list):
            yield from _places(inner)


def damaged_json(
    wholes: Callable[[Path], list[bytes]],
) -> Callable[[Path], st.SearchStrategy[bytes]]:
    """Mostly JSON with other values, and some that is none."""

    def make(folder: Path) -> st.SearchStrategy[bytes]:
        found = wholes(folder)
        for number, content in enumerate(found):
            (folder / f"whole-{number}").write_bytes(content)
        whole = st.sampled_from(found)
        values = st.tuples(whole, _CHANGES).map(lambda each: _changed(*each))
        data = st.tuples(whole, EDITS).map(lambda each: edited(*each))
        return st.one_of(values, values, values, data, whole)

    return make
