"""What a training stream of 100,000 pairs holds in memory, beside a list of the same data.

Shards of small pictures are written first. Then two fresh processes go through them: one by the batches
of `zoo train --stream`, read, augmented and tokenized in the training process itself, one listing them.
Growth is that of resident memory from the first 5,000 pairs to the end.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

FIRST, BATCH = 5_000, 50


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
    """In MB, now."""
    import psutil

    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1e6


def streamed(folder: Path, count: int) -> dict[str, float]:
    from words import Words

    import zoo
    from zoo.data.stream import stream
    from zoo.recipe import Recipe
    from zoo.training.stream_feed import StreamFeed

    steps = count // BATCH
    zoo.register("text_encoder", "words", Words)
    overrides = {
        "image": {"encoder": "timm/test_resnet", "train": "full"},
        "image.encoder.args.image_size": 32,
        "text.encoder": "words",
        "embedding_dim": 16,
    }
    model = zoo.build("resnet50-clip", pretrained=False, overrides=overrides)
    recipe = Recipe.model_validate(
        {"stream": True, "steps": steps, "batch_size": BATCH, "workers": 0}
    )
    feed = StreamFeed(model, stream(folder), recipe.filled(heads_only=False))
    seen: list[float] = []
    for number, batch in enumerate(feed.batches(range(steps)), 1):
        if batch.place["epoch"]:
            raise SystemExit("the stream has fewer pairs than were written")
        if number in (FIRST // BATCH, steps):
            seen += [resident(), time.perf_counter()]
    before, start, after, end = seen
    return {"mb": after - before, "pairs_per_second": (count - FIRST) / (end - start)}


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
