"""The import of a hook module under guard: no torch, no word on stdout, in time, no trace if it fails."""

from __future__ import annotations

import contextlib
import importlib.abc
import os
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeVar, cast

from zoo.errors import RegistryError
from zoo.registry.component import one_line
from zoo.registry.stdout import held_stdout
from zoo.registry.timeout import within

__all__ = ["HeavyImportError", "guarded", "inside_hook_module"]

_HEAVY = frozenset(
    {"torch", "torchvision", "timm", "transformers", "tensorflow", "jax", "open_clip"}
)

T = TypeVar("T")

_running = threading.local()


class HeavyImportError(ImportError):
    """A hook module imported a deep-learning library while the zoo was only being listed."""


def guarded(module: str, seconds: float, call: Callable[[], T]) -> T:
    """What `call()` returns, which imports a hook module and asks it.

    Raises:
        RegistryError: it took too long, wrote to stdout, meddled with imports, or exits.
        HeavyImportError: it imported a deep-learning library, even if it caught the refusal.
        Exception: whatever the module raises.
    """
    process, fence = _Process(module), _Fence()
    sys.meta_path.insert(0, fence)
    sound, _running.module = False, module
    try:
        with held_stdout() as stdout:
            answer = within(seconds, call)
        if fence.refused:
            raise fence.refused
        if stdout.text:
            raise RegistryError(
                f"the hook module writes to stdout, where listings go: {one_line(stdout.text, 80)!r}; "
                "let it log, or write to stderr"
            )
        if process.own_finders():
            raise RegistryError(
                "the hook module puts an import finder of its own on sys.meta_path, which every "
                "later import would go through; leave that to the modules that targets name"
            )
        sound = True
        return answer
    except Exception as error:
        if fence.refused and error is not fence.refused:
            raise fence.refused from error
        raise
    finally:
        _running.module = None
        process.restore(fence, sound=sound)


def inside_hook_module() -> bool:
    """Whether this thread is in the middle of importing or asking a hook module."""
    return getattr(_running, "module", None) is not None


class _Process:
    """What a hook module might change in this process, and others need as it was."""

    def __init__(self, module: str) -> None:
        self.package = module.partition(".")[0]
        self.modules = set(sys.modules)
        self.path, self.path_entries = sys.path, list(sys.path)
        self.meta_path, self.finders = sys.meta_path, list(sys.meta_path)
        self.folder: str | None = None
        with contextlib.suppress(OSError):
            self.folder = os.getcwd()

    def own_finders(self) -> list[object]:
        """The finders on `sys.meta_path` that the module's own package put there."""
        return [
            finder
            for finder in _as_list(sys.meta_path)
            if not isinstance(finder, _Fence)
            and finder not in self.finders
            and str(getattr(finder, "__module__", "")).partition(".")[0] == self.package
        ]

    def restore(self, fence: _Fence, *, sound: bool) -> None:
        """Put back what was taken away and, after a failure, take away what was put there.

        Its own modules go too, so that a half-made one is not met later: the next import, or the
        next listing, starts afresh. Finders of other packages stay, since those need them.
        """
        own, now = self.own_finders(), _as_list(sys.meta_path)
        now = [finder for finder in now if finder is not fence and finder not in own]
        if any(finder not in now for finder in self.finders):
            now = [*(finder for finder in now if finder not in self.finders), *self.finders]
        sys.meta_path = self.meta_path
        sys.meta_path[:] = cast(Any, now)
        path = _as_list(sys.path)
        if not sound or any(entry not in path for entry in self.path_entries):
            path = [*self.path_entries]
        sys.path = self.path
        sys.path[:] = cast(Any, path)
        if self.folder is not None:
            with contextlib.suppress(OSError):
                os.chdir(self.folder)
        if not sound and self.package not in {"zoo", *sys.stdlib_module_names}:
            for name in set(sys.modules) - self.modules:
                if name == self.package or name.startswith(f"{self.package}."):
                    sys.modules.pop(name, None)


def _as_list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


class _Fence(importlib.abc.MetaPathFinder):
    """Refuses the first import of a deep-learning library by the thread that made it.

    In a process that has torch already, there is nothing left to keep out.
    """

    def __init__(self) -> None:
        self.refused: HeavyImportError | None = None
        self.thread = threading.get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in _HEAVY and threading.get_ident() == self.thread:
            self.refused = HeavyImportError(
                f"the hook module imports {fullname!r}, which makes every listing slow; move what "
                "needs it to a module that only a component's target names"
            )
            raise self.refused
        return None
