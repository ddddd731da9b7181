"""Whether a target `"module:attribute"` is there, told from source files; nothing is imported."""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path

from zoo.errors import RegistryError, suggestion

__all__ = ["Targets"]

_FORM = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_LARGEST = 1_000_000
# A module that uses one of these may have names which no reading of it shows.
_BEYOND_READING = re.compile(rb"\b(globals|vars|locals|exec|setattr|__dict__)\b|\bsys\.modules\b")
_MOVES_ITS_PATH = re.compile(rb"\b(__path__|sys\.modules|sys\.path)\b")


class Targets:
    """Checks targets, and remembers the files that it has read."""

    def __init__(self) -> None:
        self._sources: dict[str, bytes | None] = {}
        self._names: dict[str, frozenset[str] | None] = {}

    def check(self, target: str) -> None:
        """Pass a target that is there, or of which that cannot be told.

        It cannot for extension modules, star imports, and modules or packages that make their
        names or their path at run time. Of a dotted attribute only the first part is looked for.

        Raises:
            RegistryError: it is not a target, or its module or attribute is missing.
        """
        if not _FORM.fullmatch(target):
            raise RegistryError("write 'module:attribute'")
        module, _, attribute = target.partition(":")
        name = attribute.partition(".")[0]
        if name in getattr(sys.modules.get(module), "__dict__", {}):
            return
        if module not in self._sources:
            try:
                self._sources[module] = _read(_locate(module))
            except OSError:  # a folder that may not be looked into
                self._sources[module] = None
        source = self._sources[module]
        if source is None or _at_margin(name, source):
            return
        if module not in self._names:
            self._names[module] = _bound(source, module)
        names = self._names[module]
        if names is not None and name not in names:
            raise RegistryError(f"{module!r} has no {name!r}.{suggestion(name, names)}")


def _locate(module: str) -> Path | None:
    """The module's source file, or None where that cannot be told. Imports no package.

    Raises:
        RegistryError: there is no such module.
    """
    top, *rest = module.split(".")
    try:
        spec = find_spec(top)
    except Exception:  # a finder of somebody else, or a module without a spec
        return None
    if spec is None:
        raise RegistryError(f"there is no module {top!r}")
    if not rest:
        is_source = spec.origin and isinstance(spec.loader, SourceFileLoader)
        return Path(str(spec.origin)) if is_source else None
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    for part in rest[:-1]:
        packages = [folder / part for folder in folders if (folder / part).is_dir()]
        if not packages:
            _check_absence(module, part, folders)
            return None
        regular = [package for package in packages if (package / "__init__.py").is_file()]
        folders = regular[:1] or packages
    for folder in folders:
        package, file = folder / rest[-1] / "__init__.py", folder / f"{rest[-1]}.py"
        if package.is_file():
            return package
        if any((folder / f"{rest[-1]}{suffix}").exists() for suffix in EXTENSION_SUFFIXES):
            return None
        if file.is_file():
            return file
        if file.with_suffix(".pyc").is_file() or package.parent.is_dir():
            return None
    _check_absence(module, rest[-1], folders)
    return None


def _check_absence(module: str, part: str, folders: Sequence[Path]) -> None:
    """Say that a module is missing, unless its package may have it from elsewhere.

    Raises:
        RegistryError: it is missing.
    """
    if not folders or not all(folder.is_dir() for folder in folders):  # in a zip file, say
        return
    for folder in folders:
        if _MOVES_ITS_PATH.search(_read(folder / "__init__.py") or b""):
            return
    there = {file.stem for folder in folders for file in folder.iterdir() if file.suffix == ".py"}
    there |= {file.name for folder in folders for file in folder.iterdir() if file.is_dir()}
    raise RegistryError(
        f"there is no module {module!r}.{suggestion(part, there - {'__init__', '__pycache__'})}"
    )


def _read(path: Path | None) -> bytes | None:
    try:
        if path is None or path.stat().st_size > _LARGEST:
            return None
        return path.read_bytes()
    except OSError:
        return None


def _at_margin(name: str, source: bytes) -> bool:
    """Whether a line defines the name without indentation: most do, and this is quicker by far."""
    word = re.escape(name.encode())
    return bool(
        re.search(rb"^(?:(?:async\s+)?def|class)\s+%b\b|^%b\s*=[^=]" % (word, word), source, re.M)
    )


def _bound(source: bytes, module: str) -> frozenset[str] | None:
    """The names that the module has once it is imported, or None if reading does not tell.

    Raises:
        RegistryError: it is not Python.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except SyntaxError as error:
        raise RegistryError(
            f"{module!r} cannot be imported: {error.msg}, line {error.lineno}"
        ) from error
    except (ValueError, RecursionError, MemoryError):
        return None
    if _BEYOND_READING.search(source):
        return None
    names = {"__doc__", "__name__", "__file__"}
    names.update(
        name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names
    )
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(each.asname or each.name.partition(".")[0] for each in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name:
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and node.value is None:
            continue
        todo.extend(ast.iter_child_nodes(node))
    return None if {"*", "__getattr__"} & names else frozenset(names)
