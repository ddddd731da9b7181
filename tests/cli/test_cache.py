"""`zoo cache` and `zoo fetch`."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock

import zoo
from zoo.cache import cache_folder
from zoo.training.presence import Presence
from zoo.training.shards import touch
from zoo.training.store import Store
from zoo.weights.address import downloads_folder
from zoo.weights.record import records, verified

URL = "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"


OLD = time.time() - 100 * 86_400


def zoo_command(*words):
    done = subprocess.run(
        [sys.executable, "-m", "zoo", *words], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def some(resnet50_in_torch_hub):
    """One recorded file of torch hub, one download and its broken-off sister, and old pictures."""
    verified(resnet50_in_torch_hub, URL)
    for name in ("0123-mine.pth", "4567-other.pth.part", "4567-other.pth.lock"):
        (downloads_folder() / name).write_bytes(b"x" * 1_000_000)
    pictures = cache_folder("rendered") / "pictures.bin"
    pictures.write_bytes(b"x" * 2_000_000)
    os.utime(pictures, (OLD, OLD))
    return resnet50_in_torch_hub


def test_list_and_size(some):
    status, out, _ = zoo_command("cache", "list", "--json")
    assert status == 0
    found = {each["name"]: each for each in json.loads(out)}
    assert found["resnet50-11ad3fa6.pth"]["check"] == "recorded"
    assert found["resnet50-11ad3fa6.pth"]["path"] == str(some)
    assert found["0123-mine.pth"]["cache"] == "downloads"
    assert found["rendered"] == {
        "cache": "computed",
        "name": "rendered",
        "path": str(cache_folder("rendered")),
        "size": 2_000_000,
        "used": found["rendered"]["used"],
        "check": "",
    }
    assert re.search(
        r"^resnet50-11ad3fa6.pth +torch hub +102", zoo_command("cache", "list")[1], re.M
    )
    sizes = json.loads(zoo_command("cache", "size", "--json")[1])
    assert sizes["downloads"] == sizes["computed"] == 2_000_000
    assert sizes["torch hub"] >= some.stat().st_size
    assert re.search(r"^computed +2\.0 MB", zoo_command("cache", "size")[1], re.MULTILINE)


def test_verify_and_forget(some):
    assert zoo_command("cache", "verify") == (
        0,
        f"same    {URL}  resnet50-11ad3fa6.pth\n",
        "",
    )
    before, when = some.read_bytes(), some.stat().st_mtime_ns
    try:
        some.write_bytes(before[:-1] + b"!")
        os.utime(some, ns=(when, when))  # nothing shows it but its content
        status, out, error = zoo_command("cache", "verify")
    finally:
        some.write_bytes(before)
    assert (status, out) == (1, f"changed {URL}  resnet50-11ad3fa6.pth\n")
    assert error.startswith(f"error: {some}: changed since pinned or recorded. Delete")
    assert zoo_command("cache", "forget", URL)[1] == f"forgot {URL}  resnet50-11ad3fa6.pth\n"
    status, _, error = zoo_command("cache", "forget", URL)
    assert (status, list(records())) == (1, [])
    assert error == f"error: nothing is recorded of {URL!r}; zoo cache verify lists what is\n"
    assert zoo_command("cache", "verify")[1] == "no file is recorded yet\n"


def test_prune(some):
    gone = [cache_folder() / "rendered", downloads_folder() / "4567-other.pth.part"]
    status, out, error = zoo_command("cache", "prune", "--dry-run")
    assert (status, error) == (0, "would be removed\n")
    assert [line.split()[0] for line in out.splitlines()[2:]] == [
        "4567-other.pth.part",
        "rendered",
        "total",
    ]
    assert all(path.exists() for path in gone)
    assert zoo_command("cache", "prune")[2] == "removed\n"
    assert not any(path.exists() for path in gone)
    assert [path.name for path in downloads_folder().iterdir()] == ["0123-mine.pth"]
    assert some.is_file()
    assert zoo_command("cache", "prune")[1] == "nothing to remove\n"


def test_prune_leaves_downloads_that_go_on(some):
    """Each in the cache of its own: by URL, and torchvision's in torch hub's folder."""
    for folder in (downloads_folder(), some.parent):
        part = folder / "going-on.pth.part"
        part.write_bytes(b"x")
        (folder / "broken.pth.part").write_bytes(b"x")
        (folder / "download.pth.a1b2c3.partial").write_bytes(b"x")  # of torch hub itself
        with FileLock(folder / "going-on.pth.lock"):
            assert "going-on" not in zoo_command("cache", "prune", "--dry-run")[1]
            zoo_command("cache", "prune")
            assert part.is_file()
        assert not (folder / "broken.pth.part").exists()
        assert "going-on" in zoo_command("cache", "prune")[1]
        assert not part.exists()
        assert not (folder / "going-on.pth.lock").exists()
        (folder / "download.pth.a1b2c3.partial").unlink()
    assert some.is_file()


@pytest.fixture
def features():
    """Three rows of one encoder, which a process of another age has used."""
    keys = [bytes([number]) * 32 for number in range(3)]
    store = Store({"side": "image", "component": {"name": "tiny", "args": {}}}, keys)
    store.add(keys, torch.arange(6.0).reshape(3, 2))
    store.flush()
    folder = store.folder
    del store
    (shard,) = folder.glob("*.safetensors")
    os.utime(shard, (OLD, OLD))
    return shard


def test_features_are_listed_and_verified(features):
    key, size = features.parent.name, features.stat().st_size
    status, out, _ = zoo_command("cache", "features", "--json")
    assert status == 0
    assert json.loads(out) == {
        "features": [
            {
                "key": key,
                "path": str(features.parent),
                "rows": 3,
                "size": size,
                "used": pytest.approx(OLD),
                "in_use": False,
                "about": {"side": "image", "component": {"name": "tiny", "args": {}}},
            }
        ],
        "size": size,
        "limit": 20_000_000_000,
    }
    out = zoo_command("cache", "features")[1]
    assert re.search(
        rf"^image tiny {key[:8]} +3 +0\.0 MB +{time.strftime('%Y-%m-%d', time.localtime(OLD))}",
        out,
        re.M,
    )
    assert "0.0 MB of the 20,000.0 MB that they may take (ZOO_CACHE_LIMIT)" in out
    listed = json.loads(zoo_command("cache", "list", "--json")[1])
    (kept,) = [each for each in listed if each["cache"] == "features"]
    assert (kept["name"], kept["size"], kept["check"]) == (
        f"image tiny {key[:8]}",
        size,
        "recorded",
    )
    assert json.loads(zoo_command("cache", "size", "--json")[1])["features"] == size
    assert zoo_command("cache", "verify") == (0, f"same    features  {features}\n", "")
    content = features.read_bytes()
    features.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    status, out, error = zoo_command("cache", "verify")
    assert status == 1
    assert out == f"changed features  {features}: its content is not what was written\n"
    assert error.startswith(f"error: {features}: damaged. The next run that needs one discards it")


def test_old_features_are_pruned_unless_in_use(features):
    key = features.parent.name
    _, out, error = zoo_command("cache", "prune", "--dry-run")
    assert f"image tiny {key[:8]}" in out
    assert error == "would be removed\n"
    assert features.exists()
    presence = Presence(features.parent)
    touch(features)  # as a process does that uses it
    assert zoo_command("cache", "prune", "--older-than", "0")[1] == "nothing to remove\n"
    assert "in use" in zoo_command("cache", "features")[1]
    del presence
    assert zoo_command("cache", "prune", "--older-than", "0")[2] == "removed\n"
    assert not features.parent.exists()
    assert zoo_command("cache", "features")[1].startswith("no features are kept\n")


def test_a_limit_that_is_no_size(monkeypatch):
    monkeypatch.setenv("ZOO_CACHE_LIMIT", "20 gigs")
    assert zoo_command("cache", "features") == (
        1,
        "",
        "error: ZOO_CACHE_LIMIT is a size such as 20GB or 500 MiB, not '20 gigs'\n",
    )


def test_fetch_of_a_saved_model(resnet50_in_torch_hub, tmp_path):
    model = zoo.build("resnet50-clip", towers="image", overrides={"image.train": "head"})
    zoo.save(model, tmp_path / "mine")
    _, out, error = zoo_command("fetch", "mine", "--json")
    assert json.loads(out)["image.encoder"]["file"] == "resnet50-11ad3fa6.pth"
    assert error == "fetching what mine needs\n"
    away = resnet50_in_torch_hub.rename(tmp_path / "away.pth")
    try:
        status, _, error = zoo_command("fetch", "mine")
    finally:
        away.rename(resnet50_in_torch_hub)
    assert status == 1
    assert "cannot be downloaded from https://download.pytorch.org" in error
    status, _, error = zoo_command("fetch", "mine", "--tower", "image")
    assert (status, error) == (
        1,
        "error: mine is a saved model, which is fetched whole and as it is\n",
    )


@pytest.mark.long
def test_fetch(resnet50_in_torch_hub, clip_in_hub_cache):
    status, out, _ = zoo_command("fetch", "resnet50-clip", "--json")
    assert status == 0
    found = json.loads(out)
    assert found["image.encoder"]["file"] == "resnet50-11ad3fa6.pth"
    assert found["text.encoder"]["revision"] == clip_in_hub_cache.name
    assert len(found["text.encoder"]["sha256"]) == 64
    listed = json.loads(zoo_command("cache", "list", "--json")[1])
    name = f"openai/clip-vit-base-patch32@{clip_in_hub_cache.name}"
    clip = next(each for each in listed if each["name"] == name)
    assert clip["check"] == "pinned"
    assert clip["size"] > 600_000_000


def test_fetch_of_one_tower_says_what_is_missing(resnet50_in_torch_hub):
    assert "resnet50-11ad3fa6.pth" in zoo_command("fetch", "resnet50-clip", "--tower", "image")[1]
    status, _, error = zoo_command(
        "fetch", "resnet50-clip", "--tower", "image", "--set", "image.encoder=torchvision/resnet18"
    )
    assert status == 1
    assert "cannot be downloaded from https://download.pytorch.org" in error
    assert "HF_HUB_OFFLINE is set" in error
    assert not list(Path(os.environ["ZOO_CACHE"]).rglob("*.part"))
