"""Runs that are killed at random moments and resumed, compared with one that was not.

`python faults.py` is a process that has everything imported, and forks a run for each line it reads:
a run is killed often, and importing torch takes longer than training does here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

__all__ = ["CELLS", "Cell", "Outcome", "Runs", "battered", "result", "runs", "whole"]

STEPS, BATCH, PAIRS = 36, 6, 24
_CLEAN, _KILLED = 0, -signal.SIGKILL
_PATIENCE = 120.0


@dataclass(frozen=True)
class Cell:
    """One way to run."""

    workers: int = 0
    processes: int = 1
    streamed: bool = False

    def __str__(self) -> str:
        data = "stream" if self.streamed else "map-style"
        return f"{self.workers} workers, {self.processes} process(es), {data}"


CELLS = [Cell(*each) for each in product((0, 4), (1, 2), (False, True))]


@dataclass
class Outcome:
    """What became of a run that was killed some times."""

    kills: int = 0
    in_checkpoint: int = 0
    """Kills that left a checkpoint half written."""
    before_any: int = 0
    """Kills before the first checkpoint."""
    identical: bool = False


class Runs:
    """Starts runs in a folder, by way of the process that forks them."""

    def __init__(self, folder: Path, forker: subprocess.Popen[str]) -> None:
        self.folder, self.forker = folder, forker

    def start(self, cell: Cell, name: str, **more: Any) -> list[int]:
        """The processes of a run, begun or resumed; the first one writes.

        Args:
            more: `words` of a `zoo` command to run instead, or the `disk` in bytes that a run has.
        """
        asked = {"cell": asdict(cell), "folder": str(self.folder), "name": name, "port": _port()}
        self.forker.stdin.write(json.dumps({**asked, **more}) + "\n")
        self.forker.stdin.flush()
        return self._said()["pids"]

    def ended(self) -> list[int]:
        """Waits for its processes: the exit status of each, negative for a signal."""
        return self._said()["ended"]

    def _said(self) -> dict[str, list[int]]:
        line = self.forker.stdout.readline()
        if not line:
            raise RuntimeError(f"the forking process ended with {self.forker.wait()}")
        return json.loads(line)


@contextlib.contextmanager
def runs(folder: Path) -> Iterator[Runs]:
    """Runs over the same pictures, in a folder."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ZOO_CACHE": str(folder / "cache")}
    root = Path(__file__).parent
    paths = [str(root.parent), str(root), str(root / "data"), environment.get("PYTHONPATH", "")]
    environment |= {"PYTHONPATH": os.pathsep.join(paths), "ZOO_PLUGINS": ""}
    forker = subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        yield Runs(folder, forker)
    finally:
        forker.stdin.close()
        forker.wait(_PATIENCE)
        forker.stdout.close()


def whole(made: Runs, cell: Cell) -> tuple[dict[str, str], float]:
    """What a run that is left alone ends with, and how long it takes."""
    began = time.monotonic()
    made.start(cell, _name(cell, "whole"))
    status = made.ended()
    if any(status):
        raise RuntimeError(f"{cell}: a run that was left alone ended with {status}")
    return result(made.folder / _name(cell, "whole")), time.monotonic() - began


def battered(
    made: Runs,
    cell: Cell,
    kills: int,
    expected: dict[str, str],
    seconds: float,
    chance: random.Random,
) -> Outcome:
    """A run that is killed so many times, and resumed each time, at last to its end.

    Every second kill comes while a checkpoint is being written, the others at any moment. Where none
    left a checkpoint half written, there are some more.
    """
    name = _name(cell, f"battered-{chance.random()}")
    folder, outcome = made.folder / name, Outcome()
    while outcome.kills < kills or (not outcome.in_checkpoint and outcome.kills < 5 * kills):
        pids = made.start(cell, name)
        checkpoints = folder / "checkpoints"
        if outcome.kills % 2:
            wanted = chance.randrange(1, 4)
            moment = _writing(checkpoints, wanted, chance.random() * 0.004)
        else:
            moment = _after(chance.random() * seconds * 0.7)
        had_any = _complete(checkpoints)
        moment(pids)
        chance.shuffle(pids)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        status = made.ended()
        if all(each == _CLEAN for each in status):  # it came to its end before
            shutil.rmtree(folder)
            continue
        if _KILLED not in status:
            raise RuntimeError(f"{cell}: the run ended by itself, with {status}")
        outcome.kills += 1
        outcome.in_checkpoint += any(checkpoints.glob(".*.draft"))
        outcome.before_any += not had_any and not _complete(checkpoints)
    made.start(cell, name)
    status = made.ended()
    if any(status):
        raise RuntimeError(f"{cell}: the resumed run ended with {status}")
    outcome.identical = result(folder) == expected
    shutil.rmtree(folder)
    return outcome


def _after(seconds: float) -> Callable[[list[int]], None]:
    return lambda pids: time.sleep(seconds)


def _writing(checkpoints: Path, wanted: int, then: float) -> Callable[[list[int]], None]:
    """Waits until so many checkpoints have begun to be written, and a moment more."""

    def wait(pids: list[int]) -> None:
        seen: set[str] = set()
        patience = time.monotonic() + _PATIENCE
        while len(seen) < wanted and time.monotonic() < patience and _alive(pids[0]):
            with contextlib.suppress(FileNotFoundError):
                seen |= {each.name for each in os.scandir(checkpoints) if each.name[0] == "."}
        time.sleep(then)

    return wait


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return not Path("/proc").is_dir()


def _complete(checkpoints: Path) -> bool:
    return any(checkpoints.glob("step-*")) if checkpoints.is_dir() else False


def result(folder: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("final.safetensors", "log.jsonl")
    }


def _name(cell: Cell, kind: str) -> str:
    return f"{cell.workers}-{cell.processes}-{'stream' if cell.streamed else 'map'}-{kind}"


def _port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _serve() -> None:
    """Forks the processes of a run for each line, and tells their numbers, and how they ended."""
    prepare()
    for line in sys.stdin:
        asked = json.loads(line)
        count = asked["cell"]["processes"]
        pids = []
        for rank in range(count):
            pid = os.fork()
            if not pid:
                _forked(asked, rank, count)
            pids.append(pid)
        print(json.dumps({"pids": pids}), flush=True)
        status = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        print(json.dumps({"ended": status}), flush=True)


def _forked(asked: dict[str, Any], rank: int, count: int) -> None:
    from zoo.errors import RunStopped

    if count > 1:
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(asked["port"]),
        }
    os.setpgid(0, 0)
    status = 1
    cell, folder, name = Cell(**asked["cell"]), Path(asked["folder"]), asked["name"]
    try:
        if "words" in asked:
            command(folder, name, asked["words"])
        elif "disk" in asked:
            fill_disk(cell, folder, name, asked["disk"])
        else:
            train_once(cell, folder, name, rank)
        status = 0
    except RunStopped as stop:
        status = 128 + stop.signal
    except SystemExit as end:
        status = end.code
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def prepare() -> None:
    """Import what a run needs; nothing is computed here, since the runs are forked from here."""
    import torch
    from words import Words

    import zoo
    import zoo.training.loop

    torch.set_num_threads(1)
    zoo.register("text_encoder", "words", Words)


def train_once(cell: Cell, folder: Path, name: str, rank: int = 0, *, keep: int = 2) -> None:
    """Begin or resume a run, and write what it ends with."""
    import torch
    from safetensors.torch import save_file

    import zoo
    from zoo.recipe import Recipe
    from zoo.training.loop import train

    torch.manual_seed(0)
    model = zoo.build(
        "resnet50-clip",
        pretrained=False,
        overrides={
            "embedding_dim": 16,
            "image": {"encoder": "timm/test_resnet", "train": "full"},
            "image.encoder.args.image_size": 32,
            "image.head.args.dropout": 0.2,
            "text": {"encoder": "words", "train": "full"},
            "text.encoder.args.dropout": 0.1,
        },
    )
    recipe = Recipe.model_validate(
        {
            "steps": STEPS,
            "batch_size": BATCH,
            "sampling": "pair",
            "workers": cell.workers,
            "precision": "fp32",
            "log_every": 5,
            "evaluation": {"every": 2},
            "checkpoint": {"steps": 3, "keep": keep},
            "augmentation": {"flip": 0.5, "crop": {"scale": [0.6, 1.0]}},
            **({"stream": True} if cell.streamed else {}),
        }
    )
    head = model.image_encoder.head

    def judged() -> dict[str, float]:
        return {"spread": torch.cat([each.flatten() for each in head.parameters()]).std().item()}

    train(
        model,
        data(cell, folder),
        recipe,
        judge=judged,
        folder=folder / name,
        resume=True,
    )
    if rank == 0:
        tensors = {**model.state_dict(), **model.loss.state_dict(prefix="loss.")}
        save_file(
            {key: each.contiguous() for key, each in tensors.items()},
            folder / name / "final.safetensors",
        )


def command(folder: Path, name: str, words: list[str]) -> None:
    """Run a `zoo` command, and write what it says to a file."""
    from zoo.cli.main import main

    os.chdir(folder)
    said = os.open(f"{name}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.argv = ["zoo", *words]
    main()


def fill_disk(cell: Cell, folder: Path, name: str, size: int) -> None:
    """A run on a disk of so many bytes, of its own, resumed on a larger one; writes what became of it."""
    from zoo.errors import CheckpointError

    place = folder / name
    place.mkdir()
    mount = _mounter(place)  # first: a process that has threads may not
    mount(size)
    said: dict[str, Any] = {}
    try:
        train_once(cell, folder, name, keep=100)
    except CheckpointError as error:
        said["error"] = str(error)
    said["left"] = sorted(each.name for each in (place / "checkpoints").iterdir())
    mount(100 * size, again=True)
    train_once(cell, folder, name, keep=100)
    (folder / f"{name}.json").write_text(json.dumps({**said, "result": result(place)}))


def _mounter(place: Path) -> Callable[..., None]:
    """Mounts a file system in memory there, seen by this process alone.

    Raises:
        SystemExit: with status 77, where that is not allowed.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    user, mounts, again_flag = 0x10000000, 0x00020000, 32
    ids = os.getuid(), os.getgid()
    if not hasattr(libc, "unshare") or libc.unshare(user | mounts):
        sys.exit(77)
    for file, text in (
        ("setgroups", "deny"),
        ("uid_map", f"0 {ids[0]} 1"),
        ("gid_map", f"0 {ids[1]} 1"),
    ):
        Path("/proc/self", file).write_text(text)

    def mount(size: int, *, again: bool = False) -> None:
        options = f"size={size}".encode()
        flags = again_flag if again else 0
        if libc.mount(b"tmpfs", bytes(place), b"tmpfs", flags, options):
            sys.exit(77)

    return mount


def data(cell: Cell, folder: Path) -> Any:
    """Pictures that are the same at every call, as pairs or as shards."""
    import numpy as np
    from PIL import Image

    import layouts
    from zoo.data.pairs import Pair
    from zoo.data.stream import stream

    pictures, whole = folder / "pictures", folder / "pictures" / "whole"
    if not whole.is_file():
        pictures.mkdir(exist_ok=True)
        for number in range(PAIRS):
            draw = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(draw).save(pictures / f"{number:02}.png")
        for shard in range(3):
            members = []
            for number in range(shard, PAIRS, 3):
                picture = (pictures / f"{number:02}.png").read_bytes()
                text = f"picture {number}".encode()
                members += [(f"{number:02}.png", picture), (f"{number:02}.txt", text)]
            layouts.tar(folder / "shards" / f"{shard}.tar", members)
        whole.touch()
    if cell.streamed:
        return stream(folder / "shards", block=4)
    return [
        Pair(pictures / f"{number:02}.png", (f"picture {number}", f"number {number}"), str(number))
        for number in range(PAIRS)
    ]


if __name__ == "__main__":
    _serve()
