"""A folder or a file appears whole, or takes another's place, in one step that a crash cannot split.

A draft is written beside the target, flushed to the disk, and put in place by `rename`. Over a
folder that is there already, Linux and macOS exchange the two names in one call. Where the system
or the file system cannot, the former folder is renamed to `.NAME.former` first: killed between the
two renames, `standing` finds it there, and the next save puts it back.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from zoo.errors import FolderError

__all__ = ["drafted", "standing", "sync", "tidy", "write_whole"]

_DRAFT = ".draft"
_AT_FDCWD = -100
_EXCHANGE = 2  # RENAME_EXCHANGE on Linux, RENAME_SWAP on macOS


def standing(target: Path) -> Path:
    """Where the folder is: its place, or where a killed save left it."""
    target = Path(os.path.realpath(target))
    former = _former(target)
    return former if not target.exists() and former.is_dir() else target


@contextmanager
def drafted(target: Path, *, replace: bool = True) -> Iterator[Path]:
    """An empty folder beside `target`, which takes its place when the block ends without error.

    Raises:
        FolderError: something is there by then, and is not to be replaced.
    """
    target = Path(os.path.realpath(target))  # what a link leads to, and not the link, is replaced
    target.parent.mkdir(parents=True, exist_ok=True)
    _tidy(target)
    draft, hold = _new_draft(target)
    with hold:
        try:
            yield draft
            for path in sorted(draft.rglob("*"), reverse=True):
                path.chmod(0o755 if path.is_dir() else 0o644)
                sync(path)
            draft.chmod(0o755)
            sync(draft)
            _put(draft, target, replace=replace)
            sync(target.parent)
        finally:  # the former folder after an exchange, what there is of the draft after an error
            shutil.rmtree(draft, ignore_errors=True)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, text: str) -> None:
    """Write a file of text, which is then safe from a power cut; killed before, there is none of it."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(0o644)
        draft.replace(path)
        sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def tidy(folder: Path) -> None:
    """Remove what killed writers left in a folder: drafts of any name that no process is writing."""
    _remove_drafts(folder, f".*{_DRAFT}")


def _new_draft(target: Path) -> tuple[Path, ExitStack]:
    """A draft and the hold on it. Before it is held, another save may tidy it away."""
    while True:
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=_DRAFT, dir=target.parent))
        with ExitStack() as hold, suppress(FileNotFoundError):
            hold.enter_context(_held(draft, wait=True))
            if draft.is_dir():
                return draft, hold.pop_all()


def _appeared(target: Path) -> FolderError:
    return FolderError(
        f"{target}: was made while the model was being saved, and is left as it is; choose another folder"
    )


def _put(draft: Path, target: Path, *, replace: bool) -> None:
    if not target.exists():
        try:
            draft.rename(target)
        except OSError as error:  # it appeared just now
            if error.errno in (errno.ENOTEMPTY, errno.ENOTDIR):
                raise _appeared(target) from error
            raise
    elif not replace:
        raise _appeared(target)
    elif not _exchange(draft, target):
        former = _former(target)
        target.rename(former)
        try:
            draft.rename(target)
        except BaseException:
            former.rename(target)
            raise
        shutil.rmtree(former)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where that cannot be done."""
    names = os.fsencode(one), os.fsencode(other)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        system = os.uname().sysname
        if system == "Darwin":
            return bool(library.renamex_np(*names, _EXCHANGE) == 0)
        if system == "Linux":
            return bool(library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _EXCHANGE) == 0)
    except (OSError, AttributeError, TypeError):  # a system without the call
        return False
    return False


def _former(target: Path) -> Path:
    return target.with_name(f".{target.name}.former")


def _tidy(target: Path) -> None:
    """Finish or undo what killed saves to the same place left behind."""
    former = _former(target)
    if former.is_dir():
        if target.exists():
            shutil.rmtree(former, ignore_errors=True)
        else:
            former.rename(target)
    _remove_drafts(target.parent, f".{_literal(target.name)}.*{_DRAFT}")


def _remove_drafts(folder: Path, pattern: str) -> None:
    for draft in folder.glob(pattern):
        with suppress(OSError), _held(draft) as held:
            if held:  # no process is writing it
                shutil.rmtree(draft)


def _literal(name: str) -> str:
    return "".join(f"[{each}]" if each in "*?[" else each for each in name)


@contextmanager
def _held(draft: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold a lock on a draft, which ends with its writer; says whether there is one."""
    if os.name == "nt":
        yield False
        return
    import fcntl

    handle = os.open(draft, os.O_RDONLY)
    held = False
    try:
        with suppress(OSError):  # held by another process, or a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            held = True
        yield held
    finally:
        os.close(handle)
