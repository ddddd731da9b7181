"""Registry files (TOML): the built-in one, the fragments of plugins, and the user's."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from zoo.errors import RegistryError, suggestion
from zoo.registry.component import (
    Component,
    Kind,
    Origin,
    Trained,
    check_name,
    describe,
    one_line,
)

__all__ = ["SCHEMA_VERSION", "builtin_path", "read_layer", "user_path"]

SCHEMA_VERSION = 1

_ENCODERS: tuple[Kind, ...] = ("image_encoders", "text_encoders")
_SECTIONS: tuple[Kind, ...] = (*_ENCODERS, "models")
_ENCODER_KEYS = {"use": str, "args": dict, "weights": str, "summary": str, "deprecated": str}
_SHA256 = re.compile("[0-9a-f]{64}")


def builtin_path() -> Path:
    """The shipped `registry.toml`: inside the package in a wheel, beside it in a source tree."""
    package = Path(__file__).parent.parent
    installed = package / "registry.toml"
    return installed if installed.is_file() else package.parent / "registry.toml"


def user_path() -> Path | None:
    """The user's registry file: `$ZOO_REGISTRY`, or `zoo.toml` in the working folder."""
    named = os.environ.get("ZOO_REGISTRY")
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise RegistryError(f"ZOO_REGISTRY names {named!r}, and there is no such file")
        return path
    path = Path("zoo.toml")
    return path if path.is_file() else None


def read_layer(path: Path, origin: Origin) -> list[tuple[Component, bool]]:
    """The components and named models of one registry file.

    Each comes with its `override` flag. Only the built-in file may name a factory to import;
    elsewhere an encoder is a preset of a registered one (`use = "NAME"`).

    Raises:
        RegistryError: the file is missing, is not TOML, has an unknown key, or is of a newer schema.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RegistryError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryError(f"{path}: not valid TOML: {error}") from error

    version = data.pop("schema_version", SCHEMA_VERSION)
    if not isinstance(version, int) or version < 1:
        raise RegistryError(f"{path}: schema_version is {version!r}; it is a whole number from 1")
    if version > SCHEMA_VERSION:
        raise RegistryError(
            f"{path}: schema_version is {version}, and this zoo reads up to {SCHEMA_VERSION}; "
            "upgrade with: pip install -U clip-zoo"
        )

    found: list[tuple[Component, bool]] = []
    for section, entries in data.items():
        kind = next((kind for kind in _SECTIONS if kind == section), None)
        if kind is None:
            raise RegistryError(
                f"{path}: unknown table [{section}]; a registry file has "
                f"{', '.join(f'[{name}.NAME]' for name in _SECTIONS)}."
                f"{suggestion(section, _SECTIONS)}"
            )
        if not isinstance(entries, Mapping):
            raise RegistryError(f"{path}: [{section}] holds tables [{section}.NAME], not a value")
        for name, entry in entries.items():
            where = f"{path}: [{section}.{name}]"
            check_name(kind, name, str(path))
            if not isinstance(entry, Mapping):
                raise RegistryError(f"{where} is a table, not {entry!r}")
            found.append(_component(kind, name, dict(entry), origin, path, where))
    return found


def _component(
    kind: Kind, name: str, entry: dict[str, Any], origin: Origin, path: Path, where: str
) -> tuple[Component, bool]:
    override = entry.pop("override", False)
    if not isinstance(override, bool):
        raise RegistryError(f"{where} override is true or false, not {override!r}")
    if override and origin.layer != "user file":
        raise RegistryError(f"{where} override is for the user's own registry file")

    if kind == "models":
        said = {key: entry.pop(key, "") for key in ("summary", "deprecated")}
        for key, value in said.items():
            if not isinstance(value, str):
                raise RegistryError(f"{where} {key} is text, not {value!r}")
            said[key] = one_line(value)
        trained = _trained(entry.pop("trained", None), path, where)
        metrics = _metrics(entry.pop("metrics", {}), where)
        return Component(
            kind, name, origin, spec=entry, trained=trained, metrics=metrics, **said
        ), override

    types = dict(_ENCODER_KEYS)
    if origin.layer == "built-in":
        types["factory"] = str
    for key, value in entry.items():
        if key == "factory" and key not in types:
            raise RegistryError(
                f"{where} names a factory to import, which a registry file may not; register the "
                f"factory through the entry-point group 'zoo.{kind}', or build on a registered "
                'name with use = "NAME"'
            )
        if key not in types:
            raise RegistryError(f"{where} has an unknown key {key!r}.{suggestion(key, types)}")
        if not isinstance(value, types[key]):
            raise RegistryError(
                f"{where} {key} is {value!r}; it should be a {_TOML_WORDS[types[key]]}"
            )
    if ("factory" in entry) == ("use" in entry):
        raise RegistryError(
            f'{where} needs use = "NAME", the {describe(kind)} that it is a preset of'
        )
    if name.endswith("/*") and "use" in entry:
        raise RegistryError(
            f"{where} is a family, and a preset with use is one name; drop the '/*'"
        )
    component = Component(
        kind,
        name,
        origin,
        summary=one_line(entry.get("summary", "")),
        target=entry.get("factory"),
        use=entry.get("use"),
        args=entry.get("args", {}),
        weights=entry.get("weights"),
        deprecated=one_line(entry.get("deprecated", "")),
    )
    return component, override


def _trained(entry: object, path: Path, where: str) -> Trained | None:
    """Weights beside the registry file; nothing outside of its folder can be named."""
    if entry is None:
        return None
    keys = ("file", "sha256")
    if (
        not isinstance(entry, Mapping)
        or set(entry) != {*keys}
        or not all(isinstance(value, str) for value in entry.values())
    ):
        raise RegistryError(
            f"{where} trained is a table of the texts file and sha256, not {entry!r}"
        )
    if not _SHA256.fullmatch(entry["sha256"]):
        raise RegistryError(
            f"{where} trained.sha256 is 64 small hexadecimal digits, not {entry['sha256']!r}"
        )
    file = PurePosixPath(entry["file"])
    if file.is_absolute() or ".." in file.parts or file.suffix != ".safetensors":
        raise RegistryError(
            f"{where} trained.file is a .safetensors file in the folder of the registry file or "
            f"below it, not {entry['file']!r}"
        )
    return Trained(path.parent / file, entry["sha256"])


def _metrics(entry: object, where: str) -> dict[str, tuple[float, ...]]:
    if not isinstance(entry, Mapping):
        raise RegistryError(f"{where} metrics is a table, not {entry!r}")
    found = {}
    for name, value in entry.items():
        numbers = value if isinstance(value, list) else [value]
        if len(numbers) not in (1, 3) or not all(type(each) in (int, float) for each in numbers):
            raise RegistryError(
                f"{where} metrics: {name!r} is a number, or a list of value, low and high end, "
                f"not {value!r}"
            )
        found[one_line(name)] = tuple(map(float, numbers))
    return found


_TOML_WORDS = {str: "text", dict: "table"}
