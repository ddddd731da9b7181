"""Small pictures with captions, laid out in every way that zoo reads."""

import csv
import io
import json
import tarfile

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

COUNT = 30


def jpeg(number):
    draw = np.random.default_rng(number)
    picture = Image.fromarray(draw.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize((50, 40))
    file = io.BytesIO()
    picture.save(file, "JPEG")
    return file.getvalue()


def bmp(number):
    """Of one size, and white in the first 16 KB of the file: the picture's lower part."""
    pixels = np.full((100, 100, 3), 255, np.uint8)
    pixels[:40] = np.random.default_rng(number).integers(0, 256, (40, 100, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "BMP")
    return file.getvalue()


def captions(number):
    return [f"picture {number}", f"number {number} again"]


def folder(root, count=COUNT):
    root.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (root / f"{number:04}.jpg").write_bytes(jpeg(number))
    return root


def table(path, columns, rows, delimiter=","):
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([columns, *rows])
    return path


def imagefolder(root):
    folder(root)
    rows = [(f"{number:04}.jpg", captions(number)[0]) for number in range(COUNT)]
    table(root / "metadata.csv", ("file_name", "text"), rows)
    return root


def as_csv(root):
    folder(root / "pictures")
    rows = [(f"pictures/{n:04}.jpg", text) for n in range(COUNT) for text in captions(n)]
    return table(root / "pairs.csv", ("filepath", "Title"), rows)


def as_tsv(root):
    folder(root / "pictures")
    rows = [(captions(n)[0], f"pictures/{n:04}.jpg") for n in range(COUNT)]
    return table(root / "pairs.tsv", ("caption", "image_path"), rows, "\t")


def as_jsonl(root):
    folder(root / "pictures")
    lines = [
        json.dumps({"image": f"pictures/{n:04}.jpg", "captions": captions(n)}) for n in range(COUNT)
    ]
    (root / "pairs.jsonl").write_text("\n".join(lines))
    return root / "pairs.jsonl"


def as_parquet(root, plain=False):
    """With the pictures in it: as `datasets` writes them, or as plain bytes."""
    root.mkdir(parents=True, exist_ok=True)
    cells = [jpeg(n) if plain else {"bytes": jpeg(n), "path": f"{n}.jpg"} for n in range(COUNT)]
    made = pa.table(
        {"jpg" if plain else "image": cells, "caption": [captions(n) for n in range(COUNT)]}
    )
    parquet.write_table(made, root / "pairs.parquet", row_group_size=7)
    return root / "pairs.parquet"


def as_coco(root, name="captions_train2017.json"):
    folder(root / "train2017")
    (root / "annotations").mkdir()
    said = {
        "images": [{"id": n + 100, "file_name": f"{n:04}.jpg"} for n in range(COUNT)],
        "annotations": [
            {"id": i, "image_id": n + 100, "caption": text}
            for n in range(COUNT)
            for i, text in enumerate(captions(n))
        ],
    }
    (root / "annotations" / name).write_text(json.dumps(said))
    return root / "annotations" / name


def tar(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def as_shards(root, count=COUNT, shards=3):
    for shard in range(shards):
        members = []
        for number in range(shard, count, shards):
            members.append((f"{number:06}.jpg", jpeg(number)))
            if number % 2:
                members.append((f"{number:06}.txt", captions(number)[0].encode()))
            else:
                members.append(
                    (f"{number:06}.json", json.dumps({"caption": captions(number)[0]}).encode())
                )
        tar(root / f"{shard:05}.tar", members)
    return root
