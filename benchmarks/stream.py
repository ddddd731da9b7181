"""What a training stream of 100,000 pairs holds in memory, beside a list of the same data.

Shards of small pictures are written first. Then two fresh processes go through them: one as training
with --stream does, one listing them. Growth is that of resident memory from the first 5,000 pairs on.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

FIRST = 5_000


def write(folder: Path, count: int, shards: int) -> None:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (32, 32), "teal").save(file, "PNG")
    for shard in range(shards):
        with tarfile.open(folder / f"{shard:05}.tar", "w") as archive:
            for number in range(shard, count, shards):
                for kind, data in (("png", file.getvalue()), ("txt", b"picture %d" % number)):
                    member = tarfile.TarInfo(f"{number:08}.{kind}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))


def resident() -> float:
    """The most so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def streamed(folder: Path, count: int) -> dict[str, float]:
    from zoo.data.stream import stream
    from zoo.training.stream_feed import Interleaved

    sequence = Interleaved(stream(folder), 8)
    for _ in range(FIRST):
        next(sequence)
    before, start = resident(), time.perf_counter()
    for _ in range(count - FIRST):
        _, epoch = next(sequence)
    if epoch:
        raise SystemExit("the stream has fewer pairs than were written")
    seconds = time.perf_counter() - start
    return {"mb": resident() - before, "pairs_per_second": (count - FIRST) / seconds}


def listed(folder: Path, count: int) -> dict[str, float]:
    from zoo.data.shards import samples

    found = []
    before = 0.0
    for shard in sorted(folder.glob("*.tar")):
        for sample in samples(shard):
            found.append(sample.pair)
            if len(found) == FIRST:
                before = resident()
    if len(found) != count:
        raise SystemExit(f"the list has {len(found)} pairs of {count}")
    return {"mb": resident() - before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--way", choices=["streamed", "listed"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        ways = {"streamed": streamed, "listed": listed}
        print(json.dumps(ways[options.way](options.folder, options.count)))
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), options.count, options.shards)
        found = {}
        for way in ("streamed", "listed"):
            command = [sys.executable, __file__, f"--way={way}", f"--folder={folder}"]
            done = subprocess.run(
                [*command, f"--count={options.count}"], check=True, capture_output=True, text=True
            )
            found[way] = json.loads(done.stdout)
    held, of_list = found["streamed"]["mb"], found["listed"]["mb"]
    speed = found["streamed"]["pairs_per_second"]
    print(f"from {FIRST:,} pairs to {options.count:,}: a stream grows by {held:.1f} MB, going at")
    print(f"{speed:,.0f} pairs a second, a list by {of_list:.1f} MB")
    if options.json:
        figures = {"stream_mb": round(held, 2), "list_mb": round(of_list, 2)}
        ratio = of_list / max(held, 0.1)
        print(
            json.dumps(
                {**figures, "pairs_per_second": round(speed), "ratios": {"list": round(ratio, 1)}}
            )
        )


if __name__ == "__main__":
    main()
