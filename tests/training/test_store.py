"""The store of rows: found again, verified, within a limit, shared by processes."""

import os
import shutil
import time

import pytest
import torch

from zoo.cache import features_folder
from zoo.errors import CacheError
from zoo.training import room, shards, store
from zoo.training.presence import Presence, housekeeping, in_use_since
from zoo.training.room import folders, limit, make_room
from zoo.training.store import Store


def keys_of(numbers):
    return [number.to_bytes(32, "big") for number in numbers]


def rows_of(numbers, width=8):
    """Row n is n, n + 1, …"""
    return torch.tensor([[float(n + place) for place in range(width)] for n in numbers])


def filled(numbers, what="encoder", width=8):
    """A folder with one file of rows; no process uses it."""
    made = Store({"what": what}, keys_of(numbers))
    made.add(keys_of(numbers), rows_of(numbers, width))
    made.flush()
    return made.folder


def files(folder):
    return sorted(folder.glob("*.safetensors"))


def test_rows_are_found_again_by_their_keys():
    filled(range(5))
    filled(range(5, 9))
    other = filled(range(4), what="another encoder", width=3)
    wanted = [8, 2, 2, 6, 0]
    found = Store({"what": "encoder"}, keys_of(wanted))
    assert found.missing() == []
    assert torch.equal(found.features().tensor(), rows_of(wanted))
    assert len(files(found.folder)) == 2
    assert len(files(other)) == 1
    assert Store({"what": "encoder"}, keys_of([3, 77, 9, 77, 9])).missing() == [1, 2]


def test_files_without_a_wanted_row_are_not_read(monkeypatch):
    filled(range(5))
    filled(range(5, 9))
    read = []
    monkeypatch.setattr(shards, "_is_whole", lambda path, size, inode: not read.append(path))
    Store({"what": "encoder"}, keys_of([6]))
    assert len(read) == 1


def test_a_file_is_verified_once_in_a_process(monkeypatch):
    folder = filled(range(5))
    shards._is_whole.cache_clear()
    for _ in range(3):
        Store({"what": "encoder"}, keys_of([1])).features()
    assert shards._is_whole.cache_info().misses == 1
    assert len(files(folder)) == 1


def flipped(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 4
    path.write_bytes(content)


DAMAGE = {
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-9]), "not a whole file"),
    "empty": (lambda path: path.write_bytes(b""), "not a whole file"),
    "one bit": (flipped, "its content is not what was written"),
    "no such format": (lambda path: path.write_text("hello" * 99), "not a whole file"),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_found_told_and_made_good(damage, said, caplog):
    folder = filled(range(5))
    (path,) = files(folder)
    damage(path)
    shards._is_whole.cache_clear()  # as in another process
    found = Store({"what": "encoder"}, keys_of([1, 2]))
    assert found.missing() == [0, 1]
    assert f"{path}: discarded, and computed again: {said}" in caplog.text
    found.add(keys_of([1, 2]), rows_of([1, 2]))
    assert torch.equal(found.features().tensor(), rows_of([1, 2]))
    assert path not in files(folder)


def test_a_file_of_another_encoder_is_foreign(caplog):
    mine, other = filled(range(5)), filled(range(5), what="another encoder", width=8)
    (path,) = files(other)
    for each in files(mine):
        each.unlink()
    shutil.copy(path, mine)
    assert Store({"what": "encoder"}, keys_of([1])).missing() == [0]
    assert "discarded, and computed again: it holds features of something else" in caplog.text


def test_rows_of_another_shape_or_type():
    some = Store({"what": "encoder"}, keys_of(range(9)))
    some.add(keys_of([1]), rows_of([1]))
    with pytest.raises(
        ValueError, match=r"a row is \(3,\) of float32, and those before are \(8,\) of"
    ):
        some.add(keys_of([2]), rows_of([2], width=3))
    with pytest.raises(ValueError, match=r"a row is \(8,\) of bfloat16, and those before"):
        some.add(keys_of([2]), rows_of([2]).bfloat16())
    some.flush()
    with pytest.raises(ValueError, match=r"a row is \(3,\) of float32"):
        Store({"what": "encoder"}, keys_of(range(9))).add(keys_of([2]), rows_of([2], width=3))


def test_files_are_written_as_the_work_goes(monkeypatch):
    some = Store({"what": "encoder"}, keys_of(range(9)))
    some.add(keys_of([0]), rows_of([0]))
    assert files(some.folder) == []
    monkeypatch.setattr(store, "_BYTES", 2 * 32)
    some.add(keys_of([1]), rows_of([1]))
    assert len(files(some.folder)) == 1
    monkeypatch.setattr(store, "_SECONDS", 0.0)
    some.add(keys_of([2]), rows_of([2]))
    assert len(files(some.folder)) == 2
    assert some.missing() == list(range(3, 9))


def test_two_at_once_with_the_same_rows():
    first = Store({"what": "encoder"}, keys_of(range(6)))
    second = Store({"what": "encoder"}, keys_of(range(6)))
    first.add(keys_of(range(4)), rows_of(range(4)))
    second.add(keys_of(range(6)), rows_of(range(6)))
    first.flush()
    second.flush()
    first.add(keys_of([4, 5]), rows_of([4, 5]))
    for each in (first, second, Store({"what": "encoder"}, keys_of(range(6)))):
        assert torch.equal(each.features().tensor(), rows_of(range(6)))


def test_a_run_that_fails_to_write_says_where(monkeypatch):
    some = Store({"what": "encoder"}, keys_of([1]))
    some.add(keys_of([1]), rows_of([1]))

    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        CacheError,
        match=r"features cannot be kept here: No space left on device. Make room, or set",
    ):
        some.flush()
    assert files(some.folder) == []
    assert not list(some.folder.glob("*.draft"))


def test_a_cache_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("a file")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        CacheError,
        match=r"file/features: cannot be made: Not a directory. Set ZOO_CACHE to a folder",
    ):
        Store({"what": "encoder"}, keys_of([1]))


class TestLimit:
    @pytest.mark.parametrize(
        ("said", "size"),
        [("20GB", 20e9), ("1.5 tb", 1.5e12), ("500 MiB", 500 * 2**20), ("", 20e9), ("7kB", 7e3)],
    )
    def test_sizes(self, said, size, monkeypatch):
        monkeypatch.setenv("ZOO_CACHE_LIMIT", said)
        assert limit() == size

    @pytest.mark.parametrize("said", ["20", "GB", "20 gigs", "-3GB", "1,5GB"])
    def test_no_sizes(self, said, monkeypatch):
        monkeypatch.setenv("ZOO_CACHE_LIMIT", said)
        with pytest.raises(
            CacheError,
            match=f"ZOO_CACHE_LIMIT is a size such as 20GB or 500 MiB, not '{said}'",
        ):
            limit()

    def test_the_least_recently_used_goes_first(self, monkeypatch):
        made = [filled(range(100 * n, 100 * n + 100), what=f"encoder {n}") for n in range(4)]
        paths = [files(folder)[0] for folder in made]
        now = time.time()
        for path, age in zip(paths, (30, 40, 10, 20), strict=True):
            os.utime(path, (now - age, now - age))
        Store({"what": "encoder 1"}, keys_of([100])).features()  # the oldest is used once more
        size = paths[0].stat().st_size
        monkeypatch.setenv("ZOO_CACHE_LIMIT", f"{(3 * size + 500) / 1000}KB")
        filled(range(1000, 1100), what="a new one")
        assert [path.exists() for path in paths] == [False, True, True, False]
        assert not made[0].exists()
        assert sum(each.size for each in folders()) <= limit()

    def test_old_files_of_a_folder_in_use_go_too(self, monkeypatch):
        folder = filled(range(100))
        (old,) = files(folder)
        filled(range(100, 200))
        (used,) = set(files(folder)) - {old}
        past = time.time() - 9
        os.utime(old, (past, past))
        run = Store({"what": "encoder"}, keys_of([150]))
        monkeypatch.setenv("ZOO_CACHE_LIMIT", f"{(old.stat().st_size + 300) / 1000}KB")
        with housekeeping():
            make_room(0)
        assert files(folder) == [used]
        assert torch.equal(run.features().tensor(), rows_of([150]))

    def test_what_is_in_use_never_goes(self, monkeypatch):
        filled(range(100))
        run = Store({"what": "encoder"}, keys_of(range(100)))
        features = run.features()
        del run  # the features are enough
        size = files(features_folder() / folders()[0].key)[0].stat().st_size
        monkeypatch.setenv("ZOO_CACHE_LIMIT", f"{(size + 300) / 1000}KB")
        other = Store({"what": "another encoder"}, keys_of(range(50)))
        with pytest.raises(
            CacheError,
            match=r"take 1.6e-06 GB more, and what running processes use takes \S+ GB of the \S+ GB "
            r"that all features may take; raise ZOO_CACHE_LIMIT",
        ):
            other.expect(50, rows_of([0])[0])
        other.add(keys_of(range(50)), rows_of(range(50)))
        with pytest.raises(CacheError, match="raise ZOO_CACHE_LIMIT"):
            other.flush()
        assert torch.equal(features.tensor(), rows_of(range(100)))
        del features
        other.flush()
        assert [each.about["what"] for each in folders()] == ["another encoder"]

    def test_mapped_rows_outlive_their_file(self):
        folder = filled(range(100))
        features = Store({"what": "encoder"}, keys_of(range(100))).features()
        for path in files(folder):
            path.unlink()
        assert torch.equal(features.tensor(), rows_of(range(100)))


class TestPresence:
    def test_it_lasts_as_long_as_the_object(self):
        folder = features_folder() / "some"
        first = Presence(folder)
        second = Presence(folder)
        since = in_use_since(folder)
        assert since is not None
        assert len(list(folder.glob("*.use"))) == 2
        del first
        assert in_use_since(folder) > since
        del second
        assert in_use_since(folder) is None
        assert list(folder.iterdir()) == []

    def test_what_the_dead_left_goes(self):
        folder = features_folder() / "some"
        alive = Presence(folder)
        alive.draft.write_bytes(b"going on")
        (folder / "123-4-dead.use").touch()
        for name in ("123-4-dead.draft", "99-9-long-gone.draft"):
            (folder / name).write_bytes(b"x")
        assert in_use_since(folder) != 123
        assert sorted(folder.iterdir()) == sorted([alive.draft, *folder.glob("*.use")])

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
    def test_a_forked_worker_does_not_end_it(self):
        folder = features_folder() / "some"
        here = [Presence(folder)]
        child = os.fork()
        if child == 0:
            here.clear()
            os._exit(0)
        assert os.waitpid(child, 0) == (child, 0)
        assert in_use_since(folder) is not None
        assert len(here) == 1


def test_an_empty_folder_without_processes_goes():
    folder = features_folder() / "nothing"
    folder.mkdir()
    run = Store({"what": "encoder"}, keys_of([1]))
    with housekeeping():
        room._remove_empty()
    assert not folder.exists()
    assert run.folder.exists()
