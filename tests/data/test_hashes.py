"""Hashes of picture files: right, remembered while a file stays as it was, and never beyond."""

import contextlib
import hashlib
import os
import sqlite3
import time

import pytest

from zoo.cache import cache_folder
from zoo.data import hashes
from zoo.data.hashes import check_unchanged, picture_hashes
from zoo.errors import DataError


@pytest.fixture
def files(tmp_path):
    made = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(made):
        path.write_bytes(bytes([number]) * 1000)
    return made


@pytest.fixture
def read(monkeypatch):
    """Which files are read, all of which count as settled at once."""
    monkeypatch.setattr(hashes, "_SETTLED", -(10**12))
    seen, real = [], hashes._hash
    monkeypatch.setattr(hashes, "_hash", lambda picture: seen.append(picture) or real(picture))
    return seen


def expected(path):
    return hashlib.sha256(path.read_bytes()).digest()


def test_they_are_right_and_remembered(files, read):
    told = []
    for turn in range(2):
        found = picture_hashes(files, lambda *said: told.append(said))
        assert [each.sha256 for each in found] == [expected(path) for path in files]
        assert len(read) == 5, turn
    assert told == [("hashing pictures", 5, 5)]


@pytest.mark.parametrize("how", ["content", "same size and time", "another file in its place"])
def test_a_change_is_seen(files, read, how):
    picture_hashes(files)
    read.clear()
    path, before = files[2], files[2].stat()
    time.sleep(0.02)
    if how == "content":
        path.write_bytes(b"longer" * 1000)
    elif how == "same size and time":
        path.write_bytes(b"x" * 1000)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_mtime_ns == before.st_mtime_ns
    else:
        other = path.with_suffix(".new")
        other.write_bytes(b"y" * 1000)
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.replace(path)
    assert picture_hashes(files)[2].sha256 == expected(path)
    assert read == [path]


def test_a_young_file_is_not_remembered(files, monkeypatch):
    """It could change within the tick of a clock."""
    seen, real = [], hashes._hash
    monkeypatch.setattr(hashes, "_hash", lambda picture: seen.append(picture) or real(picture))
    for _ in range(2):
        picture_hashes(files)
    assert len(seen) == 10


def test_a_damaged_memory_is_made_again(files, read, caplog):
    picture_hashes(files)
    path = cache_folder("picture-hashes") / "hashes.sqlite"
    path.write_bytes(b"nonsense" * 1000)
    assert [each.sha256 for each in picture_hashes(files)] == [expected(each) for each in files]
    assert "pictures are hashed anew" in caplog.text
    read.clear()
    picture_hashes(files)
    assert read == []


def test_a_page_that_is_damaged_is_found_when_it_is_read(files, read, caplog):
    """The first page, with the table's name, is whole."""
    for number in range(300):
        path = files[0].with_name(f"more {number}.png")
        path.write_bytes(b"x")
        files.append(path)
    picture_hashes(files)
    path = cache_folder("picture-hashes") / "hashes.sqlite"
    data = path.read_bytes()
    assert len(data) > 20_000
    path.write_bytes(data[:4096] + b"nonsense" * ((len(data) - 4096) // 8))
    journal = path.with_name("hashes.sqlite-wal")
    journal.write_bytes(b"of the former one")
    assert [each.sha256 for each in picture_hashes(files)] == [expected(each) for each in files]
    assert "malformed; pictures are hashed anew" in caplog.text
    assert not journal.exists()
    read.clear()
    picture_hashes(files)
    assert read == []


def test_a_memory_that_others_hold_is_left_to_them(files, read, caplog, monkeypatch):
    monkeypatch.setattr(hashes, "_PATIENCE", 0.01)
    picture_hashes(files[:4])
    path = cache_folder("picture-hashes") / "hashes.sqlite"
    inode = path.stat().st_ino
    with contextlib.closing(sqlite3.connect(path)) as other:
        for how, left in (("BEGIN IMMEDIATE", 1), ("BEGIN EXCLUSIVE", 5)):
            read.clear()
            other.execute(how)
            found = picture_hashes(files)
            other.rollback()
            assert [each.sha256 for each in found] == [expected(each) for each in files]
            assert len(read) == left
            assert "database is locked; pictures are hashed anew" in caplog.text
    assert path.stat().st_ino == inode
    read.clear()
    picture_hashes(files[:4])
    assert read == []


def test_where_nothing_can_be_kept(files, read, caplog, monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    assert [each.sha256 for each in picture_hashes(files)] == [expected(each) for each in files]
    assert "pictures are hashed anew" in caplog.text


def test_it_is_bounded(files, read, monkeypatch):
    monkeypatch.setattr(hashes, "_MOST", 3)
    picture_hashes(files[:3])
    picture_hashes(files[3:])
    connection = sqlite3.connect(cache_folder("picture-hashes") / "hashes.sqlite")
    ((count,),) = connection.execute("SELECT count(*) FROM files")
    connection.close()
    assert count == 3


def test_what_cannot_be_hashed(files, tmp_path):
    with pytest.raises(DataError, match=r"absent.png: the picture cannot be read: No such file"):
        picture_hashes([files[0], tmp_path / "absent.png"])
    with pytest.raises(DataError, match=r"not a file, and a picture is one"):
        picture_hashes([tmp_path])
    (found,) = picture_hashes(files[:1])
    check_unchanged(files[0], found.state)
    files[0].write_bytes(b"other")
    with pytest.raises(
        DataError, match=r"0.png: the picture changed while it was in use; run again"
    ):
        check_unchanged(files[0], found.state)
