"""One cache of features that several processes fill: together, and after one of them was killed."""

import os
import subprocess
import sys

import pytest
import torch
from PIL import Image

FILL = """
import sys, time
from pathlib import Path
import torch
import zoo
sys.path.insert(0, {tests!r})
from filling import Slow
from zoo.training import store
from zoo.training.features import image_features

store._SECONDS = 0.05
Slow.waits = True
zoo.register("image_encoder", "slow", Slow)
torch.manual_seed(0)
model = zoo.build({{
    "embedding_dim": 3,
    "image": {{"encoder": "slow", "head": "identity", "train": "frozen"}},
    "text": {{"encoder": "slow", "head": "identity"}},
}}, pretrained=False, towers="image")
pictures = sorted(Path({pictures!r}).iterdir())
print("ready", flush=True)
sys.stdin.readline()
told = []
def progress(title, done, total):
    if title == "image features":
        told.append(total)
        print("done", done, flush=True)
rows = image_features(model, pictures, progress, precision="fp32").tensor()
torch.save(rows, {out!r})
print("total", told[0] if told else 0, flush=True)
"""


@pytest.fixture
def filling(tmp_path):
    """Starts processes that fill one cache with the features of the same 160 pictures."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(160):
        Image.new("RGB", (8, 8), (number, 255 - number, 77)).save(pictures / f"{number:03}.png")
    started = []

    def start(name):
        code = FILL.format(
            tests=os.path.dirname(__file__), pictures=str(pictures), out=str(tmp_path / name)
        )
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def expected_of(number):
    return torch.tensor([number, 255 - number, 77], dtype=torch.float64) / 255


def go(process):
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.long
def test_two_processes_fill_one_cache(filling, tmp_path):
    processes = [filling("one"), filling("two")]
    for process in processes:
        go(process)
    for process in processes:  # each has looked at what there is: nothing, since the other waits
        assert process.stdout.readline() == "looked\n"
    for process in processes:
        go(process)
    for process in processes:
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert said.splitlines()[-1] == "total 160"
    for name in ("one", "two"):
        rows = torch.load(tmp_path / name).double()
        for number in range(160):
            torch.testing.assert_close(rows[number], expected_of(number), atol=1e-6, rtol=0)
    third = filling("three")
    assert third.communicate("\n", timeout=120)[0] == "total 0\n"
    left = [path.suffix for path in (tmp_path / "zoo-cache" / "features").rglob("*.*")]
    assert ".draft" not in left
    assert ".use" not in left


@pytest.mark.long
def test_what_was_done_before_a_kill_is_used(filling, tmp_path):
    killed = filling("killed")
    go(killed)
    go(killed)
    while "done 64" not in killed.stdout.readline():
        pass
    killed.kill()
    killed.wait()
    features = tmp_path / "zoo-cache" / "features"
    (folder,) = (each for each in features.iterdir() if each.is_dir())
    (mark,) = folder.glob("*.use")
    draft = mark.with_suffix(".draft")  # as if it had been at this file
    draft.write_bytes(b"half a fi")
    after = filling("after")
    said, _ = after.communicate("\n", timeout=120)
    total = int(said.splitlines()[-1].split()[1])
    assert 0 < total <= 160 - 48
    rows = torch.load(tmp_path / "after").double()
    for number in range(160):
        torch.testing.assert_close(rows[number], expected_of(number), atol=1e-6, rtol=0)
    assert not draft.exists()
    assert not mark.exists()
