"""Random specs and overrides, as data and as files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from hostile.damage import Kind
from zoo.assembly import plan

__all__ = ["ADDRESSES", "MODES", "SPECS", "VALUES", "often", "read_spec_file"]

_NAMES = st.one_of(
    st.sampled_from(
        [
            "resnet50", "resnet50-clip", "timm/test_resnet", "torchvision/resnet18", "clip-vit-b32",
            "linear", "mlp-gelu", "residual-mlp", "identity", "info-nce", "clip-zoo/linear",
            "hf/../..", "hf/nobody/nothing", "timm/../../evil", "timm/", "/", "*", "timm/*", "",
            "os:system", "evil:make", "zoo.heads.linear:LinearHead", "builtins:eval", "subprocess",
            "__import__('os').system('true')", "antigravity", "file:///etc/passwd", "../../etc/passwd",
            "https://example.org/evil.py", "evil.toml", "x.json", "\0", "a" * 100_000, "linear\n",
        ]
    ),
    st.text(max_size=20),
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-2, 4096),
        st.floats(),
        _NAMES,
        st.binary(max_size=4),
        st.sampled_from(["default", "none", "full", "head", "frozen", 10**30, -(10**400)]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(_NAMES, st.integers(), st.none()), inner, max_size=3),
    ),
    max_leaves=6,
)


def often(good: st.SearchStrategy[Any], any_at_all: st.SearchStrategy[Any]) -> Any:
    """Mostly good, so that what lies behind the first check is reached too."""
    return st.sampled_from(range(12)).flatmap(lambda drawn: good if drawn else any_at_all)


_ARGS = often(
    st.fixed_dictionaries({}),
    st.dictionaries(
        st.sampled_from(
            ["hidden_dim", "bias", "dropout", "temperature", "learnable", "image_size", "drop_rate",
             "weights", "in_dim", "factory", "_target_", "self", "trust_remote_code", ""]
        ),
        st.one_of(st.integers(-1, 4096), st.floats(), st.booleans(), VALUES),
        max_size=3,
    ),
)  # fmt: skip


MODES = st.one_of(
    st.sampled_from(["full", "head", "frozen"]),
    st.fixed_dictionaries({"last": often(st.integers(1, 3), VALUES)}),
    st.fixed_dictionaries(
        {
            "lora": st.fixed_dictionaries(
                {},
                optional={
                    "rank": often(st.integers(1, 4), VALUES),
                    "alpha": often(st.floats(0.1, 9), VALUES),
                    "dropout": often(st.floats(0, 0.9), VALUES),
                    "targets": often(
                        st.lists(st.sampled_from(["query", "fc", "dense", "conv1"]), min_size=1),
                        VALUES,
                    ),
                },
            )
        }
    ),
)
ADDRESSES = st.sampled_from(
    [
        "hf://nobody/nothing", "hf://nobody/nothing@main", "hf://../..", "hf://a/b@../..", "hf://",
        "file:/etc/passwd", "file:nothing.safetensors", "file:", "file:///dev/zero", "file:%00",
        "file:~nobody/x", "https://example.org/x", "https://example.org/x.bin#sha256=" + "0" * 64,
        "https://[/x#sha256=" + "0" * 64, "https:///#sha256=" + "0" * 64, "http://example.org/x.bin",
        "file:" + "a" * 5000, "file:%ff", "https://example.org/%00#sha256=" + "0" * 64,
    ]
)  # fmt: skip


def _ref(*known: str) -> st.SearchStrategy[Any]:
    names = often(st.sampled_from(known), _NAMES)
    table = st.fixed_dictionaries({"name": names}, optional={"args": _ARGS})
    stranger = st.fixed_dictionaries({"name": names, "target": _NAMES})
    return often(st.one_of(names, table), st.one_of(VALUES, stranger))


def _tower(*encoders: str) -> st.SearchStrategy[Any]:
    good = st.fixed_dictionaries(
        {},
        optional={
            "encoder": _ref(*encoders),
            "head": _ref("linear", "mlp-gelu", "identity"),
            "weights": often(st.one_of(st.just("none"), st.just("default"), ADDRESSES), VALUES),
            "train": often(MODES, VALUES),
        },
    )
    return often(good, st.one_of(VALUES, st.dictionaries(_NAMES, VALUES, max_size=2)))


_SPECS = often(
    st.fixed_dictionaries(
        {"base": often(st.just("resnet50-clip"), _NAMES)},
        optional={
            "name": often(st.text(max_size=9), VALUES),
            "embedding_dim": often(st.integers(1, 512), VALUES),
            "image": _tower("timm/test_resnet", "resnet50"),
            "text": _tower("clip-vit-b32", "hf/nobody/nothing"),
            "loss": _ref("info-nce"),
        },
    ),
    st.one_of(st.dictionaries(_NAMES, VALUES, max_size=3), _NAMES),
)
_PATHS = st.one_of(
    st.sampled_from(
        ["image.head.args.hidden_dim", "embedding_dim", "image.encoder", "text.train", "loss.args",
         "base", "image", "image.head.name.more", "..", "", "image.__class__", "name"]
    ),
    st.lists(_NAMES, max_size=4).map(".".join),
    st.integers(),
)  # fmt: skip


_OVERRIDES = often(
    st.fixed_dictionaries(
        {},
        optional={
            "image.head.args.hidden_dim": st.integers(1, 99),
            "embedding_dim": often(st.integers(1, 512), VALUES),
            "image.encoder": _ref("timm/test_resnet", "resnet50"),
            "text.train": often(MODES, VALUES),
            "image.weights": often(ADDRESSES, VALUES),
            "loss.args": _ARGS,
        },
    ),
    st.dictionaries(_PATHS, VALUES, max_size=3),
)


def _read_spec(thing: Any, folder: Path) -> None:
    plan(thing, pretrained=False).check()


def _read_overrides(thing: Any, folder: Path) -> None:
    overrides, towers = thing
    plan("resnet50-clip", overrides=overrides, towers=towers).check()


def read_spec_file(suffix: str) -> Callable[[Any, Path], None]:
    def read(content: bytes, folder: Path) -> None:
        path = folder / f"it.{suffix}"
        path.write_bytes(content)
        plan(path).check()

    return read


def _toml(value: Any) -> str:
    """TOML, or what resembles it where a value has none."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, default=repr)


def _as_file(spec: Any) -> bytes:
    if not isinstance(spec, dict):
        return str(spec).encode(errors="replace")
    text = "\n".join(f"{json.dumps(str(key))} = {_toml(value)}" for key, value in spec.items())
    return text.encode(errors="replace")


def _as_json(spec: Any) -> bytes:
    if isinstance(spec, dict):
        spec = {str(key): value for key, value in spec.items()}
    return json.dumps(spec, default=repr, skipkeys=True).encode()


_TOWERS = often(
    st.sampled_from([("image",), ("image", "text")]),
    st.one_of(st.lists(_NAMES, max_size=2), _NAMES),
)

SPECS: dict[str, Kind] = {
    "spec": (lambda _: _SPECS, _read_spec),
    "overrides": (
        lambda _: st.tuples(_OVERRIDES, _TOWERS),
        _read_overrides,
    ),
    "spec as TOML": (lambda _: _SPECS.map(_as_file), read_spec_file("toml")),
    "spec as JSON": (lambda _: _SPECS.map(_as_json), read_spec_file("json")),
}
