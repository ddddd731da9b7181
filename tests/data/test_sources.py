"""Data as it lies: every layout gives the same pictures with the same captions, in the same splits."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

import layouts as samples
import zoo
from zoo.data import sources
from zoo.data.columns import Columns
from zoo.data.held import Held
from zoo.data.pairs import ImageTextDataset, Pair
from zoo.data.pictures import open_picture, read_bytes
from zoo.data.sources import open_dataset, split_of_file
from zoo.data.splitting import content_key, drawn_split, with_all_splits
from zoo.data.stream import stream
from zoo.errors import DataError, MissingExtraError, UnknownNameError

LAYOUTS = {
    "imagefolder": samples.imagefolder,
    "csv": samples.as_csv,
    "tsv": samples.as_tsv,
    "jsonl": samples.as_jsonl,
    "parquet": samples.as_parquet,
    "bytes": lambda root: samples.as_parquet(root, plain=True),
    "coco": samples.as_coco,
    "shards": samples.as_shards,
}
SEVERAL = ("csv", "jsonl", "parquet", "bytes", "coco")


def by_content(dataset):
    """Captions and split of each picture, by the picture."""
    return {
        read_bytes(pair.picture): (split, pair.captions)
        for split, pairs in dataset.splits.items()
        for pair in pairs
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(tmp_path, layout):
    dataset = open_dataset(LAYOUTS[layout](tmp_path / "mine"))
    found = by_content(dataset)
    assert len(found) == samples.COUNT == len(dataset.everything())
    for number in range(samples.COUNT):
        split, captions = found[samples.jpeg(number)]
        expected = samples.captions(number)
        assert captions == tuple(expected if layout in SEVERAL else expected[:1])
        lies = samples.folder(tmp_path / "plain") / f"{number:04}.jpg"
        assert split == drawn_split(content_key(lies))
    assert list(dataset.splits) == ["train", "validation", "test"]
    assert all(dataset.splits.values())
    assert any("validation and test drawn from train" in note for note in dataset.notes)
    again = pickle.loads(pickle.dumps(dataset.everything()))
    assert open_picture(again[-1].picture).size == (50, 40)
    held = layout in ("parquet", "bytes", "shards")
    assert all(isinstance(pair.picture, Held if held else Path) for pair in again)
    assert len(pickle.dumps(dataset.everything())) < 300 * samples.COUNT  # places, not pictures


def test_a_picture_in_a_cell_says_where_it_is_and_reads_its_beginning(tmp_path):
    pair = open_dataset(samples.as_parquet(tmp_path)).everything()[0]
    assert str(pair.picture) == pair.picture.name
    assert "pairs.parquet: row " in pair.picture.name
    assert pair.picture.size == len(pair.picture.read())
    assert pair.picture.read(4) == pair.picture.read()[:4]
    assert "row=" in repr(pair)
    assert "features" not in repr(pair)


@pytest.mark.parametrize("content", [b"", b"\n<!doctype html><title>404</title>"])
def test_what_is_no_picture_is_no_copy(tmp_path, content):
    paths = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for path in paths:
        path.write_bytes(content)
    assert content_key(paths[0]) != content_key(paths[1])
    for path in paths:
        path.write_bytes(samples.jpeg(0))
    assert content_key(paths[0]) == content_key(paths[1])


class TestPicturesThatBeginAlike:
    """Ten of one size and with the same first 16 KB, and a copy of the first and of the second."""

    NUMBERS = (*range(10), 0, 1)

    def test_in_files(self, tmp_path):
        rows = []
        for place, number in enumerate(self.NUMBERS):
            (tmp_path / f"{place}.bmp").write_bytes(samples.bmp(number))
            rows.append((f"{place}.bmp", f"x {number}"))
        (tmp_path / "other.jpg").write_bytes(samples.jpeg(0))
        for part, some in enumerate((rows[:10], [*rows[10:], ("other.jpg", "other")])):
            samples.table(tmp_path / f"{part}.csv", ("file", "text"), some)
        assert content_key(tmp_path / "0.bmp") == content_key(tmp_path / "9.bmp")
        pairs = open_dataset(tmp_path / "[01].csv").everything()
        concepts = {pair.captions: pair.concept for pair in pairs}
        assert (len(pairs), len({pair.concept for pair in pairs})) == (13, 11)
        assert all(concepts[pair.captions] == pair.concept for pair in pairs)  # copies as well
        assert concepts[("other",)] == content_key(tmp_path / "other.jpg")
        (alone,) = {pair.concept for pair in open_dataset(self.copies(tmp_path)).everything()}
        assert alone == content_key(tmp_path / "0.bmp")

    def copies(self, tmp_path):
        rows = [("0.bmp", "a"), ("10.bmp", "b")]
        return samples.table(tmp_path / "copies.csv", ("file", "text"), rows)

    @pytest.mark.parametrize("concept", [None, "kind"])
    def test_in_cells(self, tmp_path, concept):
        table = pa.table(
            {
                "image": [samples.bmp(number) for number in self.NUMBERS],
                "caption": [f"x {place}" for place in range(12)],
                "kind": ["a thing"] * 12,
            }
        )
        parquet.write_table(table, tmp_path / "a.parquet")
        pairs = open_dataset(tmp_path / "a.parquet", Columns(concept=concept)).everything()
        captions = sorted(pair.captions for pair in pairs)
        assert captions[:2] == [("x 0", "x 10"), ("x 1", "x 11")]
        assert len(captions) == 10
        assert len({pair.concept for pair in pairs}) == (1 if concept else 10)


def test_the_key_of_a_picture_is_of_its_size_and_its_first_16_kb(tmp_path):
    """Changed, it would divide all data anew."""
    path = tmp_path / "a.bmp"
    path.write_bytes(b"x" * 20_000)
    beginning = hashlib.blake2b(b"20000:" + b"x" * 16_384, digest_size=12)
    assert content_key(path) == beginning.hexdigest() != content_key(path, whole=True)


class TestSplits:
    def test_by_a_column(self, tmp_path):
        samples.folder(tmp_path)
        words = ["train"] * 20 + ["val"] * 6 + ["test"] * 4
        rows = [(f"{n:04}.jpg", f"x {n}", word) for n, word in enumerate(words)]
        dataset = open_dataset(samples.table(tmp_path / "a.csv", ("file", "text", "split"), rows))
        sizes = {name: len(pairs) for name, pairs in dataset.splits.items()}
        assert sizes == {"train": 20, "validation": 6, "test": 4}
        assert dataset.notes == ("splits: as the source has them",)

    def test_by_a_column_with_gaps(self, tmp_path):
        samples.folder(tmp_path)
        words = ["train"] * 14 + [None, "", " "] * 2 + [" Val "] * 4 + ["test"] * 4 + ["extra "] * 2
        rows = [{"file": f"{n:04}.jpg", "text": "x", "split": word} for n, word in enumerate(words)]
        (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
        dataset = open_dataset(tmp_path / "a.jsonl")
        sizes = {name: len(pairs) for name, pairs in dataset.splits.items()}
        assert sizes == {"train": 20, "validation": 4, "test": 4, "extra": 2}
        assert dataset.notes == (
            "splits: as the source has them; others that it has: extra (2)",
            "6 pictures whose rows leave the split empty are of train",
        )
        for split in dataset.splits:
            given = [pair for pair, _ in stream(tmp_path / "a.jsonl", split=split).read()]
            assert len(given) == sizes[split]

    def test_by_files_of_a_folder(self, tmp_path):
        for split, first in (("train", 0), ("dev", 10)):
            lies = samples.folder(tmp_path / "mine" / split, 20)
            rows = [(f"{n:04}.jpg", f"x {n}") for n in range(first, first + 10)]
            samples.table(lies / "metadata.csv", ("file_name", "text"), rows)
        dataset = open_dataset(tmp_path / "mine")
        assert len(dataset.splits["validation"]) == 10
        assert len(dataset.splits["train"]) + len(dataset.splits["test"]) == 10
        assert "test drawn from train" in dataset.notes[0]

    def test_by_words_of_names(self):
        root = Path("/data/test")
        for said, split in (
            ("train-00000-of-00004.parquet", "train"),
            ("captions_val2017.json", "validation"),
            ("dev/metadata.csv", "validation"),
            ("latest.csv", ""),
            ("pairs.csv", ""),
        ):
            assert split_of_file(root / said, root) == split, said
        assert split_of_file(root / "pairs.csv") == ""

    def test_copies_never_cross(self, tmp_path):
        lies = samples.folder(tmp_path)
        for number in range(samples.COUNT):
            (lies / f"copy{number}.jpg").write_bytes(samples.jpeg(number))
        names = [f"{n:04}.jpg" for n in range(30)] + [f"copy{n}.jpg" for n in range(30)]
        path = samples.table(tmp_path / "a.csv", ("file", "text"), [(name, name) for name in names])
        dataset = open_dataset(path)
        assert len(dataset.everything()) == 60
        home = {}
        for split, pairs in dataset.splits.items():
            for pair in pairs:
                assert home.setdefault(read_bytes(pair.picture), split) == split

    def test_a_copy_that_the_source_puts_in_two_splits_leaves_training(self):
        def pairs(*concepts):
            return [Pair(Path(f"{each}.jpg"), (each,), each) for each in concepts]

        splits, said = with_all_splits(
            {"train": pairs("a", "b", "c"), "valid": pairs("b"), "test": pairs("c", "d")}
        )
        assert [pair.concept for pair in splits["train"]] == ["a"]
        assert "2 left out of train, whose pictures are in a held-out split too" in said
        whole = with_all_splits({"full": pairs(*"abcdefghijklmnopqrstuvwxyz")})[0]
        assert list(whole) == ["train", "validation", "test"]
        assert sum(map(len, whole.values())) == 26
        assert list(with_all_splits({"test": pairs("a")})[0]) == ["test"]

    def test_tenths(self):
        drawn = [drawn_split(f"concept {number}") for number in range(20_000)]
        for split, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
            assert abs(drawn.count(split) / 20_000 - share) < 0.01
        code = (
            "from zoo.data.splitting import drawn_split as d; print([d(str(n)) for n in range(50)])"
        )
        other = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "5"},
        )  # fmt: skip
        assert other.stdout.strip() == str([drawn_split(str(number)) for number in range(50)])


class TestColumns:
    def made(self, tmp_path, columns, rows=(("0001.jpg", "a text", "red"),)):
        samples.folder(tmp_path, 3)
        return samples.table(tmp_path / "a.csv", columns, rows)

    def test_named(self, tmp_path):
        path = self.made(tmp_path, ("one", "two", "three"))
        pair = open_dataset(path, Columns("one", "two", concept="three")).everything()[0]
        assert (pair.picture.name, pair.captions, pair.concept) == ("0001.jpg", ("a text",), "red")

    @pytest.mark.parametrize(
        ("columns", "asked", "said"),
        [
            (("one", "text", "x"), Columns(), r"pictures usually are .* are one, text, x. Say which: --im"),
            (("image", "two", "x"), Columns(), r"captions usually are .*Say which: --caption-column"),
            (
                ("image", "caption", "x"),
                Columns(caption="captoin"),
                r"a.csv: there is no column 'captoin'; the columns are image, caption, x. Did you mean "
                "'caption'",
            ),
        ],
    )  # fmt: skip
    def test_missing(self, tmp_path, columns, asked, said):
        with pytest.raises(DataError, match=said):
            open_dataset(self.made(tmp_path, columns), asked)

    def test_rows_that_lack_something_are_left_out_and_counted(self, tmp_path):
        rows = [("0001.jpg", "a"), ("0002.jpg", " "), ("", "b"), ("0000.jpg", "c")]
        dataset = open_dataset(self.made(tmp_path, ("image", "text"), rows))
        assert sorted(pair.captions[0] for pair in dataset.everything()) == ["a", "c"]
        assert "2 left out, the first: " in dataset.notes[1]
        assert "a.csv: row 2: no caption is in the column 'text'" in dataset.notes[1]
        with pytest.raises(DataError, match=r"no row has both a picture and a caption; .*row 1"):
            open_dataset(self.made(tmp_path, ("image", "text"), [("0001.jpg", ""), ("", "x")]))

    def test_the_folder_of_the_pictures(self, tmp_path):
        lies = samples.folder(tmp_path / "elsewhere", 2)
        path = samples.table(tmp_path / "a.csv", ("image", "text"), [("0001.jpg", "x")])
        assert open_dataset(path, images=lies).everything()[0].picture == lies / "0001.jpg"


class TestCoco:
    def test_a_folder_laid_out_as_coco(self, tmp_path):
        samples.as_coco(tmp_path)
        (tmp_path / "annotations" / "instances_train2017.json").write_text("{}")
        dataset = open_dataset(tmp_path)
        assert len(dataset.everything()) == samples.COUNT
        assert dataset.everything()[0].picture.parent == tmp_path / "train2017"

    def change(self, tmp_path, change):
        path = samples.as_coco(tmp_path)
        said = json.loads(path.read_text())
        change(said)
        path.write_text(json.dumps(said))
        return path

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda s: s["annotations"][0].pop("caption"), "not COCO's captions: .*KeyError: 'caption'"),
            (lambda s: s["annotations"][0].update(image_id=7), "a caption is of the image 7, which is not"),
            (lambda s: s["annotations"].clear(), "no image has a caption"),
            (
                lambda s: [each.update(file_name="x.jpg") for each in s["images"]],
                "its picture x.jpg is in none of .*--images FOLDER",
            ),
        ],
    )  # fmt: skip
    def test_refused(self, tmp_path, change, said):
        with pytest.raises(DataError, match=said):
            open_dataset(self.change(tmp_path, change))


class TestRefused:
    @pytest.mark.parametrize(
        ("source", "said"),
        [
            ("pipe:cat x.tar", "zoo opens no pipe: source, and starts no program for one. Fetch it first"),
            ("https://host/x.tar", "zoo opens no https: source"),
            ("no/such.csv", "no/such.csv: there is no such file or folder. Data is a folder"),
            ("no/*.tar", "no file is called so"),
            ("hub:only", "write hub:owner/name"),
            ("hub:../name", "write hub:owner/name"),
            ("hub:owner/name", r"hub:owner/name: datasets cannot read it: .*Offline"),
        ],
    )  # fmt: skip
    def test_by_name(self, source, said):
        with pytest.raises(DataError, match=said):
            open_dataset(source)

    def test_options_that_do_not_apply(self, tmp_path):
        shards, coco = samples.as_shards(tmp_path / "a"), samples.as_coco(tmp_path / "b")
        for source in (shards, "hub:owner/name"):
            with pytest.raises(DataError, match=rf"{source} has its pictures in it, .*--images"):
                open_dataset(source, images=tmp_path)
        for columns in (Columns(image="image"), Columns(caption="caption")):
            with pytest.raises(DataError, match=r"COCO's captions, which have no columns to name"):
                open_dataset(coco, columns)

    def test_files_and_folders(self, tmp_path):
        with pytest.raises(DataError, match="nothing in this folder is data for zoo"):
            open_dataset(samples.folder(tmp_path / "a", 1))
        (tmp_path / "a.xlsx").write_text("x")
        with pytest.raises(DataError, match=r"zoo does not know data by the ending '.xlsx'"):
            open_dataset(tmp_path / "a.xlsx")
        samples.as_csv(tmp_path / "b")
        samples.as_tsv(tmp_path / "b")
        with pytest.raises(
            DataError, match=r"files of several kinds \(.csv, .tsv\); name one of them"
        ):
            open_dataset(tmp_path / "b")
        (tmp_path / "c.parquet").write_bytes(b"nothing of the kind")
        with pytest.raises(DataError, match=r"c.parquet: datasets cannot read it: .*Parquet"):
            open_dataset(tmp_path / "c.parquet")
        (tmp_path / "d.json").write_text("{")
        with pytest.raises(DataError, match=r"d.json: not JSON"):
            open_dataset(tmp_path / "d.json")

    def test_without_datasets(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "datasets", None)
        with pytest.raises(MissingExtraError, match=r"pip install 'clip-zoo\[data\]'"):
            open_dataset(samples.as_csv(tmp_path))


def test_a_registered_name(tmp_path):
    pairs = [Pair(tmp_path / "a.jpg", ("a",), "a")]
    zoo.register(
        "dataset", "flowers", lambda: ImageTextDataset("f", {"train": pairs}, "CC0-1.0", "me")
    )
    assert open_dataset("flowers").split("train") == pairs
    with pytest.raises(DataError, match="registered dataset, which has no columns to name"):
        open_dataset("flowers", Columns("x"))
    with pytest.raises(UnknownNameError, match="Did you mean 'flowers'"):
        open_dataset("flower")


def test_a_pattern(tmp_path):
    samples.as_shards(tmp_path, shards=3)
    assert len(open_dataset(f"{tmp_path}/0000[01].tar").everything()) == 20


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A folder that stands for the hub: `datasets` reads a folder in its layout as it reads the hub."""
    lies, real = tmp_path / "hub", sources.opened_tables
    monkeypatch.setattr(
        sources, "opened_tables", lambda said, *a, **k: real(str(lies / said), *a, **k)
    )
    return lies


def test_a_folder_of_the_name_is_not_the_hub(tmp_path, monkeypatch):
    samples.imagefolder(tmp_path / "owner" / "name")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"hub:owner/name: owner/name lies in .* as ./owner/name"):
        open_dataset("hub:owner/name")
    assert len(open_dataset("./owner/name").everything()) == samples.COUNT


def test_paths_in_a_table_of_the_hub_are_no_pictures(hub, tmp_path):
    samples.folder(tmp_path, 1)
    rows = [(str(tmp_path / "0000.jpg"), "x")]
    (hub / "owner" / "name").mkdir(parents=True)
    samples.table(hub / "owner" / "name" / "a.csv", ("image", "text"), rows)
    with pytest.raises(DataError, match=r"row 1: no picture is in the column 'image', but '/"):
        open_dataset("hub:owner/name")


def test_an_image_folder_of_the_hub(hub):
    lies = samples.folder(hub / "owner" / "name")
    rows = [{"file_name": f"{n:04}.jpg", "text": f"x {n}"} for n in range(samples.COUNT)]
    (lies / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    dataset = open_dataset("hub:owner/name")
    assert open_picture(dataset.split("train")[0].picture).size == (50, 40)


def test_a_dataset_as_the_hub_lays_it_out(hub, tmp_path):
    home = hub / "owner" / "name" / "data"
    made = samples.as_parquet(home)
    made.rename(home / "train-00000-of-00001.parquet")
    samples.as_parquet(tmp_path / "other").rename(home / "test-00000-of-00001.parquet")
    (home.parent / "README.md").write_text("---\nlicense: cc0-1.0\n---\n")
    script = home.parent / "name.py"
    script.write_text("raise SystemExit('code of the dataset ran')")
    with pytest.raises(DataError, match=r"hub:owner/name: .*scripts are no longer supported"):
        open_dataset("hub:owner/name")
    script.unlink()
    dataset = open_dataset("hub:owner/name")
    assert dataset.name == "name"
    assert dataset.homepage == "https://huggingface.co/datasets/owner/name"
    assert len(dataset.split("test")) == samples.COUNT
    assert dataset.splits["train"] == []  # all of them are in test too
    assert "left out of train, whose pictures are in a held-out split too" in dataset.notes[0]
    assert open_picture(dataset.split("test")[3].picture).size == (50, 40)
