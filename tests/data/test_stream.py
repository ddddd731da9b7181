"""Streams: each pair once an epoch, to one reader, and on from any place as if nothing had been."""

import gc
import json
import resource
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

import layouts as samples
from zoo.cli.training_data import opened
from zoo.data.columns import Columns
from zoo.data.fingerprint import fingerprint
from zoo.data.pairs import Pair
from zoo.data.sources import open_dataset
from zoo.data.stream import Place, Stream, stream
from zoo.errors import DataError
from zoo.recipe import Recipe

PICTURE = samples.jpeg(0)


@dataclass(frozen=True)
class Numbers:
    """A shard whose pairs are numbers; places in it are ten times as large."""

    name: str
    first: int
    count: int
    split: str = "train"
    columns: Columns = field(default_factory=Columns)

    @property
    def splits(self):
        return frozenset({self.split})

    def read(self, start):
        for number in range(start // 10, self.count):
            said = str(self.first + number)
            yield 10 * (number + 1), self.split, Pair(Path(said), (said,), said)


def numbers(sizes):
    return [Numbers(f"{i}.tar", 1000 * i, size) for i, size in enumerate(sizes)]


def said(given):
    return [pair.concept for pair, _ in given]


SIZES = [(1,), (7,), (5, 0, 3), (10, 11, 12, 13), (3,) * 9]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("readers", [1, 2, 3, 4, 8, 13])
@pytest.mark.parametrize("block", [1, 4, 100])
def test_each_once(sizes, readers, block):
    everything = sorted(str(1000 * i + n) for i, size in enumerate(sizes) for n in range(size))
    made = Stream(numbers(sizes), block=block, seed=3)
    for epoch in range(2):
        parts = [said(made.read(epoch, reader=r, readers=readers)) for r in range(readers)]
        assert sorted(each for part in parts for each in part) == everything


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("readers", [1, 2, 5])
@pytest.mark.parametrize("block", [1, 4, 100])
def test_on_from_every_place(sizes, readers, block):
    made = Stream(numbers(sizes), block=block, seed=3)
    for reader in range(readers):
        whole = list(made.read(1, reader=reader, readers=readers))
        for number, (_, place) in enumerate(whole):
            kept = Place(**json.loads(json.dumps(place.as_json())))
            again = Stream(numbers(sizes), block=block, seed=3)
            assert list(again.read(kept, reader=reader, readers=readers)) == whole[number + 1 :]


def test_the_order():
    made = Stream(numbers((200, 200, 200)), block=64, seed=0)
    first, second = said(made.read(0)), said(made.read(1))
    assert first == said(Stream(numbers((200, 200, 200)), block=64, seed=0).read(0))
    assert first != second
    assert sorted(first) == sorted(second)
    assert first != said(Stream(numbers((200, 200, 200)), block=64, seed=1).read(0))
    orders = {
        tuple(dict.fromkeys(int(each) // 1000 for each in said(made.read(e)))) for e in range(30)
    }
    assert len(orders) == 6  # every order of three shards
    within = [int(each) for each in first[:64]]
    assert sorted(within) != within
    # a shuffle that mixes: ranks before and after are not correlated
    ranks = [sorted(within).index(each) for each in within]
    middle = (len(ranks) - 1) / 2
    spread = sum((i - middle) ** 2 for i in range(64))
    assert abs(sum((i - middle) * (r - middle) for i, r in enumerate(ranks)) / spread) < 0.4


@pytest.mark.parametrize(
    "made",
    [samples.as_shards, samples.as_parquet, samples.as_jsonl, samples.as_csv],
    ids=["shards", "parquet", "jsonl", "csv"],
)
def test_files(tmp_path, made):
    path = made(tmp_path / "mine")
    dataset = open_dataset(path)
    for split in ("train", "validation", "test"):
        streamed = stream(path, split=split, block=8)
        given = list(streamed.read())
        listed = {text for pair in dataset.split(split) for text in pair.captions}
        assert {text for pair, _ in given for text in pair.captions} == listed
        assert {pair.concept for pair, _ in given} == {p.concept for p in dataset.split(split)}
        _, place = given[len(given) // 2]
        rest = [pair.captions for pair, _ in streamed.read(place)]
        assert rest == [pair.captions for pair, _ in given[len(given) // 2 + 1 :]]
    assert len(list(stream(path).read())) >= samples.COUNT


WORDS = ["train"] * 14 + ["val", "test"] * 5 + ["train"] * 6


def shards_in_folders(root):
    for number, word in enumerate(WORDS):
        members = [("a.jpg", samples.jpeg(number)), ("a.txt", f"x {number}".encode())]
        samples.tar(root / word / f"{number}.tar", members)
    return root


def tables_in_folders(root):
    for word in dict.fromkeys(WORDS):
        lies = samples.folder(root / word)
        rows = [(f"{n:04}.jpg", f"x {n}") for n, each in enumerate(WORDS) if each == word]
        samples.table(lies / "metadata.csv", ("file_name", "text"), rows)
    return root


def csv_with_a_column(root):
    samples.folder(root)
    rows = [(f"{n:04}.jpg", f"x {n}", word) for n, word in enumerate(WORDS)]
    return samples.table(root / "pairs.csv", ("file", "text", "split"), rows)


def jsonl_with_a_column(root):
    samples.folder(root)
    rows = [{"image": f"{n:04}.jpg", "caption": f"x {n}", "Split": w} for n, w in enumerate(WORDS)]
    (root / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return root / "pairs.jsonl"


def parquet_with_a_column(root):
    root.mkdir()
    cells = [samples.jpeg(n) for n in range(len(WORDS))]
    texts = [f"x {n}" for n in range(len(WORDS))]
    table = pa.table({"jpg": cells, "caption": texts, "split": WORDS})
    parquet.write_table(table, root / "pairs.parquet", row_group_size=7)
    return root / "pairs.parquet"


@pytest.mark.parametrize(
    "made",
    [
        shards_in_folders,
        tables_in_folders,
        csv_with_a_column,
        jsonl_with_a_column,
        parquet_with_a_column,
    ],
)
def test_the_splits_of_the_source(tmp_path, made):
    path = made(tmp_path / "mine")

    def captions(pairs):
        return sorted(pair.captions for pair in pairs)

    whole, dataset = stream(path), open_dataset(path)
    assert (len(dataset.splits["train"]), whole.drawn) == (20, [])
    for split in ("train", "validation", "test"):
        streamed = stream(path, split=split, block=4)
        given = list(streamed.read())
        assert captions(pair for pair, _ in given) == captions(dataset.splits[split])
        rest = streamed.read(given[2][1])
        assert [pair.captions for pair, _ in rest] == [pair.captions for pair, _ in given[3:]]
    assert len(list(whole.read())) == len(WORDS)
    said, pairs = opened(str(path), Recipe(stream=True), Columns(), None)
    assert said.notes[0] == "splits: as the source has them"
    assert captions(pairs["test"]) == captions(dataset.splits["test"])
    assert captions(p for p, _ in pairs["train"].read()) == captions(dataset.splits["train"])


def test_rows_that_say_no_three_splits(tmp_path):
    """The only split is the whole, under any name; besides others, it stays by itself."""
    for word, held in (("full", "full"), ("train", "extra")):
        rows = [(f"{n}.jpg", f"x {n}", word if n < 27 else held) for n in range(30)]
        path = samples.table(tmp_path / f"{held}.csv", ("file", "text", "split"), rows)
        splits = open_dataset(path).splits
        for split in splits:
            given = stream(path, split=split).read()
            assert sorted(pair.captions for pair, _ in given) == sorted(
                pair.captions for pair in splits[split]
            )


def test_held_out_pictures_that_begin_alike_are_all_judged(tmp_path):
    for word, numbers in (("train", (0,)), ("val", (1,)), ("test", range(2, 7))):
        members = []
        for n in numbers:
            members += [(f"{n}.bmp", samples.bmp(n)), (f"{n}.txt", f"x {n}".encode())]
        samples.tar(tmp_path / f"{word}.tar", members)
    _, pairs = opened(str(tmp_path), Recipe(stream=True), Columns(), None)
    assert len({pair.concept for pair in pairs["test"]}) == 5


def test_what_is_drawn_is_part_of_what_a_stream_is():
    """Without the shards of test, a tenth of those that train is drawn for it."""
    first = Numbers(__file__, 0, 50)
    with_test = Stream([first, Numbers("b.tar", 50, 5, "test")], split="train")
    assert fingerprint(with_test) != fingerprint(Stream([first], split="train"))


def test_splits_of_shards():
    shards = [
        Numbers("a-train-0.tar", 0, 50),
        Numbers("a-val-0.tar", 1000, 5, "validation"),
        Numbers("b.tar", 2000, 5),
    ]
    split = {
        name: said(Stream(shards, split=name).read()) for name in ("train", "validation", "test")
    }
    assert sorted(split["validation"]) == [str(1000 + n) for n in range(5)]
    assert len(split["train"]) + len(split["test"]) == 55
    assert 0 < len(split["test"]) < 20
    with pytest.raises(DataError, match="there are no shards of the split 'tset'"):
        Stream(shards, split="tset")


def test_refused(tmp_path):
    with pytest.raises(DataError, match="there are no shards"):
        Stream([])
    with pytest.raises(DataError, match="a block has 1 pair or more, not 0"):
        Stream(numbers((1,)), block=0)
    with pytest.raises(DataError, match="reader 2 of 2: readers are counted from 0"):
        next(Stream(numbers((1,))).read(reader=2, readers=2))
    with pytest.raises(DataError, match=r"no shard \(.tar\) and no table"):
        stream(tmp_path)
    samples.as_shards(tmp_path)
    samples.as_csv(tmp_path)
    with pytest.raises(DataError, match="there are both shards and tables; name one of them"):
        stream(tmp_path)


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to measure memory by")
def test_memory_does_not_grow_with_the_samples(tmp_path):
    members = (
        member
        for number in range(25_000)
        for member in ((f"{number:06}.jpg", PICTURE), (f"{number:06}.txt", b"a caption"))
    )
    first = samples.tar(tmp_path / "0.tar", members)
    for shard in range(1, 4):
        (tmp_path / f"{shard}.tar").hardlink_to(first)
    given = iter(stream(tmp_path, block=256).read())
    used = []
    for _ in range(10):
        assert sum(1 for _ in islice(given, 10_000)) == 10_000
        gc.collect()
        used.append(resident())
    assert next(given, None) is None
    assert max(used) - used[0] < 8_000_000  # a list of 90,000 pairs takes more than 60 MB
