"""The small files of an encoder in a folder: a tokenizer, a config. Checked before they are read."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from zoo.errors import FolderError, WeightsError
from zoo.weights.read import sha256_of

__all__ = ["check_inside", "small_files_in", "write_small_files"]

_PLACES = ("image.encoder", "text.encoder")
_SAFE = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,200}(/(?!\.)[A-Za-z0-9._-]{1,200}){0,3}")


def write_small_files(
    encoders: Mapping[str, object], draft: Path, *, needed: bool
) -> dict[str, str]:
    """Let encoders write what they need besides tensors; returns the sha256 of each file.

    Args:
        needed: whether a file that cannot be had is an error, or left to be fetched at loading.

    Raises:
        WeightsError: files are needed, and cannot be had.
        FolderError: an encoder wrote something that is not a plain file with a plain name.
    """
    written: dict[str, str] = {}
    for path, encoder in encoders.items():
        save_files = getattr(encoder, "save_files", None)
        if save_files is None:
            continue
        folder = draft / path
        folder.mkdir()
        try:
            save_files(folder)
        except WeightsError as error:
            if needed:
                error.args = (f"{path}: its files are needed for a self-contained folder: {error}",)
                raise
            shutil.rmtree(folder)
            continue
        files = sorted(each for each in folder.rglob("*") if not each.is_dir())
        for file in files:
            name = file.relative_to(draft).as_posix()
            if file.is_symlink() or not file.is_file() or not _SAFE.fullmatch(name):
                raise FolderError(f"{path}: its encoder wrote {name!r}, which is no plain file")
            written[name] = sha256_of(file)
        if not files:
            shutil.rmtree(folder)
    return written


def small_files_in(folder: Path, expected: Mapping[str, str]) -> dict[str, Path]:
    """The folder of small files of each encoder that has one, every file being as it was saved.

    Raises:
        FolderError: a file is missing, changed, unexpected, or outside the folder.
    """
    for name, sha256 in expected.items():
        if not _SAFE.fullmatch(name) or name.partition("/")[0] not in _PLACES or "/" not in name:
            raise FolderError(
                f"{folder}: {name!r} is no name of an encoder's file; they are in {' or '.join(_PLACES)}"
            )
        file = check_inside(folder, name)
        if not file.is_file():
            raise FolderError(f"{folder}: {name} is missing, so this is not a whole model")
        found = sha256_of(file)
        if found != sha256:
            raise FolderError(
                f"{file}: changed since it was saved: sha256 is {found}, and should be {sha256}"
            )
    for place in _PLACES:
        check_inside(folder, place)
        for file in (folder / place).rglob("*"):
            name = file.relative_to(folder).as_posix()
            if name not in expected and (file.is_symlink() or not file.is_dir()):
                raise FolderError(f"{file}: was not saved with the model; take it away")
    places = {name.partition("/")[0] for name in expected}
    return {place: folder / place for place in sorted(places)}


def check_inside(folder: Path, name: str) -> Path:
    """A file of the folder, which a symlink does not lead out of.

    The hub's cache is links to `blobs`, beside the snapshot's folder: those are followed.

    Raises:
        FolderError: it leads elsewhere.
    """
    file, home = folder / name, folder.resolve()
    homes = [home]
    if home.parent.name == "snapshots" and not (folder / name).parent.is_symlink():
        homes.append(home.parent.parent / "blobs")
    try:
        real = file.resolve()
    except (OSError, RuntimeError) as error:  # links that go round
        raise FolderError(f"{file}: cannot be followed: {error}") from error
    if not any(real.is_relative_to(each) for each in homes):
        raise FolderError(f"{file}: is a link out of the folder, to {real}; nothing was read")
    return file
