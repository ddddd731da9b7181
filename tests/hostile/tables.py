"""Files of the user's own folders, damaged: a registry, a spec, pins, what weights files held."""

from __future__ import annotations

import os
from pathlib import Path

from hostile.damage import Kind, damaged_json, mutated
from hostile.specs import read_spec_file
from zoo.assembly import plan
from zoo.registry import load_catalog
from zoo.weights.read import sha256_of
from zoo.weights.record import records, verified

__all__ = ["TABLES"]

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


_PINS = """# sha256 of files, by the repository and commit, or the URL, that they come from
["https://example.org/more.bin"]
"more.bin" = "0011223344556677889900112233445566778899001122334455667788990011"
["hf://owner/name@0123"]
"some.bin" = "%s"
"""


def _data(folder: Path) -> Path:
    """A data folder of its own, with a weights file that was read once."""
    weights = folder / "some.bin"
    if not weights.exists():
        weights.write_bytes(b"weights")
        _verified(folder)
    return folder / "data"


def _verified(folder: Path) -> None:
    before = os.environ.get("ZOO_DATA")
    os.environ["ZOO_DATA"] = str(folder / "data")
    try:
        verified(folder / "some.bin", "hf://owner/name@0123")
        assert all(record.size >= 0 for record in records())
    finally:
        os.environ.pop("ZOO_DATA")
        if before is not None:
            os.environ["ZOO_DATA"] = before


def _pins(folder: Path) -> list[bytes]:
    _data(folder)
    return [(_PINS % sha256_of(folder / "some.bin")).encode()]


def _read_pins(content: bytes, folder: Path) -> None:
    (_data(folder) / "pins.toml").write_bytes(content)
    _verified(folder)


def _records(folder: Path) -> list[bytes]:
    (record,) = (_data(folder) / "weights").glob("*.json")
    return [record.read_bytes()]


def _read_record(content: bytes, folder: Path) -> None:
    (record,) = (_data(folder) / "weights").glob("*.json")
    record.write_bytes(content)
    _verified(folder)


TABLES: dict[str, Kind] = {
    "registry": (mutated(_registries), _read_registry),
    "spec file": (mutated(lambda: [_SPEC_FILE]), read_spec_file("toml")),
    "pins.toml": (lambda folder: mutated(lambda: _pins(folder))(folder), _read_pins),
    "record": (damaged_json(_records), _read_record),
}
