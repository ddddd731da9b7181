"""Random specs and damaged files, and a watch on what reading them sets off.

`run` makes and reads many of one kind. Each ends in success or a `ZooError`; anything else raises:
another error, a program started, a socket, code run, a module imported that zoo does not use, a file
written elsewhere, or more than `SECONDS` for one.
"""

from __future__ import annotations

import io
import json
import os
import signal
import struct
import sys
import tempfile
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

import zoo
from zoo.assembly import plan
from zoo.data.pictures import open_picture
from zoo.errors import ZooError
from zoo.registry import load_catalog
from zoo.weights.read import read_tensors, sha256_of

__all__ = ["FILES", "SECONDS", "SPECS", "Foreign", "run", "watched"]

SECONDS = 20

_FORBIDDEN = (
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.spawn",
    "pty.",
    "socket.",
    "urllib.",
    "ctypes.dlopen",
    "pickle.find_class",
    "exec",
    "compile",
)
_PACKAGES = {
    "PIL",
    "encodings",
    "numpy",
    "pydantic",
    "pydantic_core",
    "safetensors",
    "timm",
    "torch",
    "zoo",
}
"""Of these, modules that were not needed before may be imported on the way."""


class Foreign(BaseException):
    """Something happened that a name or a file from elsewhere must never set off."""


class _Watch:
    def __init__(self) -> None:
        self.on = False
        self.seen: list[str] = []
        sys.addaudithook(self._heard)

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        if self.on and self._is_foreign(event, args):
            self.seen.append(f"{event} {args!r:.300}")
            raise Foreign(self.seen[-1])

    def _is_foreign(self, event: str, args: tuple[Any, ...]) -> bool:
        if event == "import":
            return str(args[0]).partition(".")[0] not in _PACKAGES
        if event == "open":
            path, _, flags = args
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            here = str(path).startswith((tempfile.gettempdir(), os.devnull))
            return bool(writes) and not isinstance(path, int) and not here
        if event in ("exec", "compile"):
            return not _importing()
        return event.startswith(_FORBIDDEN)


def _importing() -> bool:
    """Whether code runs because a module is being imported, which has an event of its own."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


_watch: list[_Watch] = []


@contextmanager
def watched() -> Iterator[None]:
    """Raise `Foreign` for what must not happen inside, even where the error itself is swallowed."""
    if not _watch:
        _watch.append(_Watch())  # a hook stays for the life of the process
    watch = _watch[0]
    watch.seen.clear()
    watch.on = True
    try:
        yield
    finally:
        watch.on = False
    if watch.seen:
        raise Foreign(watch.seen[0])


@contextmanager
def _in_time() -> Iterator[None]:
    def late(*_: object) -> None:
        raise Foreign(f"took more than {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run(kind: str, examples: int) -> Counter[str]:
    """Read as many random things of a kind: how many were good, and how many had which error."""
    make, read = (SPECS | FILES)[kind]
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(name)
        strategy = make(folder)
        _warm_up(read, folder)

        @settings(
            max_examples=examples,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def attempt(thing: Any) -> None:
            try:
                with _in_time(), watched():
                    read(thing, folder)
            except ZooError as error:
                said = str(error)
                outcomes[type(error).__name__ if said else "an error that says nothing"] += 1
            else:
                outcomes["success"] += 1

        attempt()
    return outcomes


def _warm_up(read: Callable[[Any, Path], None], folder: Path) -> None:
    """Once unwatched, so that what is imported on first use is there."""
    Image.init()
    for path in folder.glob("whole*"):
        if path.is_file():
            read(path.read_bytes(), folder)
    plan("resnet50-clip", overrides={"image.encoder": "timm/test_resnet"}).check()
    for wrong in ({"base": "resnet50"}, {"base": "resnet50-clip", "image": {"encodr": 3}}):
        try:
            plan(wrong)
        except ZooError:
            continue


# Specs.

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
_VALUES = st.recursive(
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


def _often(good: st.SearchStrategy[Any], any_at_all: st.SearchStrategy[Any]) -> Any:
    """Mostly good, so that what lies behind the first check is reached too."""
    return st.sampled_from(range(12)).flatmap(lambda drawn: good if drawn else any_at_all)


_ARGS = _often(
    st.fixed_dictionaries({}),
    st.dictionaries(
        st.sampled_from(
            ["hidden_dim", "bias", "dropout", "temperature", "learnable", "image_size", "drop_rate",
             "weights", "in_dim", "factory", "_target_", "self", "trust_remote_code", ""]
        ),
        st.one_of(st.integers(-1, 4096), st.floats(), st.booleans(), _VALUES),
        max_size=3,
    ),
)  # fmt: skip


def _ref(*known: str) -> st.SearchStrategy[Any]:
    names = _often(st.sampled_from(known), _NAMES)
    table = st.fixed_dictionaries({"name": names}, optional={"args": _ARGS})
    stranger = st.fixed_dictionaries({"name": names, "target": _NAMES})
    return _often(st.one_of(names, table), st.one_of(_VALUES, stranger))


def _tower(*encoders: str) -> st.SearchStrategy[Any]:
    good = st.fixed_dictionaries(
        {},
        optional={
            "encoder": _ref(*encoders),
            "head": _ref("linear", "mlp-gelu", "identity"),
            "weights": _often(st.just("none"), _VALUES),
            "train": _often(st.sampled_from(["full", "head", "frozen"]), _VALUES),
        },
    )
    return _often(good, st.one_of(_VALUES, st.dictionaries(_NAMES, _VALUES, max_size=2)))


_SPECS = _often(
    st.fixed_dictionaries(
        {"base": _often(st.just("resnet50-clip"), _NAMES)},
        optional={
            "name": _often(st.text(max_size=9), _VALUES),
            "embedding_dim": _often(st.integers(1, 512), _VALUES),
            "image": _tower("timm/test_resnet", "resnet50"),
            "text": _tower("clip-vit-b32", "hf/nobody/nothing"),
            "loss": _ref("info-nce"),
        },
    ),
    st.one_of(st.dictionaries(_NAMES, _VALUES, max_size=3), _NAMES),
)
_PATHS = st.one_of(
    st.sampled_from(
        ["image.head.args.hidden_dim", "embedding_dim", "image.encoder", "text.train", "loss.args",
         "base", "image", "image.head.name.more", "..", "", "image.__class__", "name"]
    ),
    st.lists(_NAMES, max_size=4).map(".".join),
    st.integers(),
)  # fmt: skip


_OVERRIDES = _often(
    st.fixed_dictionaries(
        {},
        optional={
            "image.head.args.hidden_dim": st.integers(1, 99),
            "embedding_dim": _often(st.integers(1, 512), _VALUES),
            "image.encoder": _ref("timm/test_resnet", "resnet50"),
            "text.train": _often(st.sampled_from(["full", "frozen"]), _VALUES),
            "loss.args": _ARGS,
        },
    ),
    st.dictionaries(_PATHS, _VALUES, max_size=3),
)


def _read_spec(thing: Any, folder: Path) -> None:
    plan(thing, pretrained=False).check()


def _read_overrides(thing: Any, folder: Path) -> None:
    overrides, towers = thing
    plan("resnet50-clip", overrides=overrides, towers=towers).check()


def _read_spec_file(suffix: str) -> Callable[[Any, Path], None]:
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


_TOWERS = _often(
    st.sampled_from([("image",), ("image", "text")]),
    st.one_of(st.lists(_NAMES, max_size=2), _NAMES),
)

Kind = tuple[Callable[[Path], st.SearchStrategy[Any]], Callable[[Any, Path], None]]

SPECS: dict[str, Kind] = {
    "spec": (lambda _: _SPECS, _read_spec),
    "overrides": (
        lambda _: st.tuples(_OVERRIDES, _TOWERS),
        _read_overrides,
    ),
    "spec as TOML": (lambda _: _SPECS.map(_as_file), _read_spec_file("toml")),
    "spec as JSON": (lambda _: _SPECS.map(_as_json), _read_spec_file("json")),
}

# Files.

_EDITS = st.lists(
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


def _edited(whole: bytes, edits: list[tuple[str, int, int, bytes]]) -> bytes:
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


def _mutated(
    wholes: Callable[[], list[bytes]], mend: Callable[[bytes], bytes] = bytes
) -> Callable[[Path], st.SearchStrategy[bytes]]:
    def make(folder: Path) -> st.SearchStrategy[bytes]:
        found = wholes()
        for number, content in enumerate(found):
            (folder / f"whole-{number}").write_bytes(content)
        changed = st.tuples(st.sampled_from(found), _EDITS).map(lambda each: _edited(*each))
        return st.one_of(changed, changed.map(mend)) if mend is not bytes else changed

    return make


def _picture(kind: str, *variants: dict[str, Any]) -> Callable[[], list[bytes]]:
    noise = np.random.default_rng(3).integers(0, 256, (24, 20, 3), np.uint8)

    def make() -> list[bytes]:
        found = []
        exif = Image.Exif()
        exif[0x0112] = 6
        for options in variants:
            mode = {"mode": "RGB", **options}["mode"]
            picture = Image.fromarray(noise).convert(mode)
            file = io.BytesIO()
            options = {key: value for key, value in options.items() if key != "mode"}
            if options.get("save_all"):
                options["append_images"] = [Image.new(mode, picture.size)]
            if kind in ("JPEG", "PNG", "WEBP"):
                options["exif"] = exif
            picture.save(file, kind, **options)
            found.append(file.getvalue())
        return found

    return make


def _with_sums(data: bytes) -> bytes:
    """A PNG with the checksum of each chunk made right again, so that more than those are tried."""
    out, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        body = data[at + 4 : at + 8 + size]
        out += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + size
    return bytes(out)


def _with_length(data: bytes) -> bytes:
    """A safetensors file whose header's length is right again."""
    end = data.rfind(b"}", 8)
    return struct.pack("<Q", end - 7) + data[8:] if end > 8 else data


def _read_picture(content: bytes, folder: Path) -> None:
    path = folder / "it.picture"
    path.write_bytes(content)
    picture = open_picture(path)
    assert picture.mode == "RGB"
    assert picture.tobytes()


def _tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    drawn = torch.randn(6, 4, generator=generator)
    return {
        "head.weight": drawn,
        "head.half": drawn.half()[:2].clone(),
        "steps": torch.tensor(7),
        "none": torch.zeros(0, 3),
    }


def _checkpoint(zipped: bool) -> bytes:
    file = io.BytesIO()
    torch.save(_tensors(), file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def _rewritten(each: tuple[int, list[tuple[str, int, int, bytes]]]) -> bytes:
    """A whole zip archive with one of its entries damaged."""
    which, edits = each
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_ZIPPED)) as old, zipfile.ZipFile(file, "w") as new:
        names = old.namelist()
        for number, name in enumerate(names):
            content = old.read(name)
            damaged = number == which % len(names)
            new.writestr(name, _edited(content, edits) if damaged else content)
    return file.getvalue()


_ZIPPED = _checkpoint(True)


def _read_weights(name: str) -> Callable[[bytes, Path], None]:
    def read(content: bytes, folder: Path) -> None:
        path = folder / name
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        for tensor in read_tensors(path).values():
            tensor.detach().clone().view(-1)  # reads every byte that it claims

    return read


def _saved(folder: Path) -> Path:
    if not (folder / "model").exists():
        overrides = {
            "image.encoder": "timm/test_resnet", "image.head": "linear", "embedding_dim": 8,
        }  # fmt: skip
        model = zoo.build("resnet50-clip", pretrained=False, towers=("image",), overrides=overrides)
        zoo.save(model, folder / "model")
    return folder / "model"


def _of_folder(name: str) -> Callable[[Path], st.SearchStrategy[bytes]]:
    def make(folder: Path) -> st.SearchStrategy[bytes]:
        return _mutated(lambda: [(_saved(folder) / name).read_bytes()])(folder)

    return make


def _read_folder(name: str) -> Callable[[bytes, Path], None]:
    def read(content: bytes, folder: Path) -> None:
        saved = _saved(folder)
        whole = (saved / name).read_bytes()
        manifest = (saved / "zoo.json").read_bytes()
        try:
            (saved / name).unlink()
            (saved / name).write_bytes(content)
            if name != "zoo.json":
                table = json.loads(manifest)
                table["tensors_sha256"] = sha256_of(saved / name)
                (saved / "zoo.json").write_text(json.dumps(table))
            zoo.load(saved)
        finally:
            (saved / name).write_bytes(whole)
            (saved / "zoo.json").write_bytes(manifest)

    return read


_REGISTRY = b"""schema_version = 1
[image_encoders.mine]
use = "timm/*"
args = { image_size = 64 }
summary = "mine"
weights = "none"
[models.mine-clip]
base = "resnet50-clip"
image = { encoder = "mine", head = { name = "linear" } }
[models.resnet50-clip]
override = true
base = "mine-clip"
"""


def _read_registry(content: bytes, folder: Path) -> None:
    path = folder / "zoo.toml"
    path.write_bytes(content)
    before = os.environ.get("ZOO_REGISTRY")
    os.environ["ZOO_REGISTRY"] = str(path)
    try:
        names = load_catalog([])
        for component in names.select():
            if component.kind == "models" and component.origin.layer == "user file":
                plan(component.name, names=names)
    finally:
        os.environ.pop("ZOO_REGISTRY")
        if before is not None:
            os.environ["ZOO_REGISTRY"] = before


def _registries() -> list[bytes]:
    return [_REGISTRY.replace(b"timm/*", b"timm/test_resnet").split(b"[models.resnet50-clip]")[0]]


_SPEC_FILE = b"""base = "resnet50-clip"
embedding_dim = 64
[image]
encoder = "timm/test_resnet"
head = { name = "mlp-gelu", args = { hidden_dim = 32 } }
train = "head"
"""

FILES: dict[str, Kind] = {
    "JPEG": (
        _mutated(_picture("JPEG", {}, {"progressive": True}, {"mode": "CMYK"}, {"mode": "L"})),
        _read_picture,
    ),
    "PNG": (
        _mutated(
            _picture("PNG", {}, {"mode": "RGBA"}, {"mode": "P"}, {"mode": "I;16"}), _with_sums
        ),
        _read_picture,
    ),
    "WebP": (
        _mutated(_picture("WEBP", {}, {"mode": "RGBA", "lossless": True}, {"save_all": True})),
        _read_picture,
    ),
    "GIF": (_mutated(_picture("GIF", {}, {"mode": "L", "save_all": True})), _read_picture),
    "TIFF": (
        _mutated(
            _picture(
                "TIFF",
                {},
                {"compression": "tiff_lzw"},
                {"compression": "tiff_adobe_deflate"},
                {"compression": "jpeg"},
                {"mode": "LAB"},
                {"mode": "I;16"},
            )
        ),
        _read_picture,
    ),
    "BMP": (_mutated(_picture("BMP", {}, {"mode": "P"}, {"mode": "1"})), _read_picture),
    "safetensors": (
        _mutated(lambda: [save(_tensors())], _with_length),
        _read_weights("it.safetensors"),
    ),
    "torch checkpoint": (_mutated(lambda: [_ZIPPED]), _read_weights("it.bin")),
    "entry of a checkpoint": (
        lambda _: st.tuples(st.integers(0, 9), _EDITS).map(_rewritten),
        _read_weights("it.bin"),
    ),
    "old checkpoint": (_mutated(lambda: [_checkpoint(False)]), _read_weights("it.bin")),
    "zoo.json": (_of_folder("zoo.json"), _read_folder("zoo.json")),
    "model.safetensors": (_of_folder("model.safetensors"), _read_folder("model.safetensors")),
    "registry": (_mutated(_registries), _read_registry),
    "spec file": (_mutated(lambda: [_SPEC_FILE]), _read_spec_file("toml")),
}
