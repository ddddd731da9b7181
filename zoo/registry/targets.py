"""Whether a target `"module:attribute"` is there, told from source files; nothing is imported."""

from __future__ import annotations

import ast
import os
import re
import warnings
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec

from zoo.errors import RegistryError, suggestion

__all__ = ["Targets"]

_FORM = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
# A module that uses one of these may have names which no reading of it shows.
_BEYOND_READING = re.compile(
    r"\b(__getattr__|__dict__|globals|vars|locals|exec|setattr)\b|\bsys\.modules\b|import\s*\*"
)


class Targets:
    """Checks targets, and remembers the files that it has read."""

    def __init__(self) -> None:
        self._sources: dict[str, str | None] = {}

    def check(self, target: str) -> None:
        """Pass a target that is there, or of which that cannot be told, as of extension modules.

        Of a dotted attribute only the first part is looked for.

        Raises:
            RegistryError: it is not a target, or its module or attribute is missing.
        """
        if not _FORM.fullmatch(target):
            raise RegistryError("write 'module:attribute'")
        module, _, attribute = target.partition(":")
        name = attribute.partition(".")[0]
        if module not in self._sources:
            self._sources[module] = _source(module)
        source = self._sources[module]
        if source is None or _at_margin(name, source):
            return
        names = _names(source, module)
        if name not in names and not _BEYOND_READING.search(source):
            raise RegistryError(f"{module!r} has no {name!r}.{suggestion(name, names)}")


def _source(module: str) -> str | None:
    """The module's source, or None where there is none to read. Imports no package.

    Raises:
        RegistryError: there is no such module.
    """
    top, *rest = module.split(".")
    try:
        spec = find_spec(top)
        if spec is None:
            raise RegistryError(f"there is no module {top!r}")
        for part in rest:
            folders = list(spec.submodule_search_locations or ())
            inner = PathFinder.find_spec(part, folders)
            if inner is None:
                source = _read(spec)
                if source is None or re.search(r"__path__|\bsys\b", source):  # it may be elsewhere
                    return None
                files = [file for folder in folders for file in os.listdir(folder)]
                near = suggestion(part, [file.partition(".")[0] for file in files])
                raise RegistryError(f"there is no module {module!r}.{near}")
            spec = inner
        return _read(spec)
    except RegistryError:
        raise
    except Exception:  # a finder of somebody else, a module without a spec, a locked folder
        return None


def _read(spec: ModuleSpec) -> str | None:
    if spec.loader is None:  # a folder without __init__.py
        return ""
    read = getattr(spec.loader, "get_source", None)
    return read(spec.name) if read else None


def _at_margin(name: str, source: str) -> bool:
    """Whether a line begins by binding the name: most names are found so, and quicker by far."""
    line = rf"^(?:(?:async\s+)?def\s+|class\s+|from\s.*[\s,])?{name}\b"
    return bool(re.search(line, source, re.MULTILINE))


def _names(source: str, module: str) -> set[str]:
    """All names that the code of a module mentions: it has no others.

    Raises:
        RegistryError: it is not Python.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except SyntaxError as error:
        said = f"{error.msg}, line {error.lineno}"
        raise RegistryError(f"{module!r} cannot be imported: {said}") from error
    fields = ("id", "name", "asname")
    found = (getattr(node, field, None) for node in ast.walk(tree) for field in fields)
    return {str(each).partition(".")[0] for each in found if each}
