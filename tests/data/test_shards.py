"""Shards are read in place: nothing is unpickled, unpacked or followed out of them."""

import io
import json
import pickle
import tarfile

import pytest

import layouts as samples
from zoo.data.columns import Columns
from zoo.data.pictures import open_picture
from zoo.data.shards import samples as samples_of
from zoo.data.sources import open_dataset
from zoo.data.stream import stream
from zoo.errors import DataError


class Trap:
    def __reduce__(self):
        return pytest.fail, ("something was unpickled",)


def test_pickles_are_passed_over_and_said(tmp_path):
    evil = pickle.dumps(Trap())
    members = []
    for number in range(4):
        members += [(f"{number}.jpg", samples.jpeg(number)), (f"{number}.txt", b"x")]
        members += [(f"{number}.{kind}", evil) for kind in ("pyd", "pickle", "pth", "npy")]
    dataset = open_dataset(samples.tar(tmp_path / "a.tar", members))
    assert len(dataset.everything()) == 4
    assert dataset.notes[-1] == (
        "members of other kinds passed over unread: 4 .npy, 4 .pickle, 4 .pth, 4 .pyd"
    )


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_what_is_no_file_is_passed_over(tmp_path, kind):
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(samples.jpeg(0))
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("0.jpg")
        link.type, link.linkname = kind, str(secret)
        archive.addfile(link)
        text = tarfile.TarInfo("0.txt")
        text.size = 1
        archive.addfile(text, io.BytesIO(b"x"))
    (sample,) = samples_of(path)
    assert sample.pair is None
    assert "0: no picture is among its members (.jpg, .jpeg" in sample.lacks
    with pytest.raises(DataError, match=r"no sample is whole; .*0: no picture"):
        open_dataset(path)


def test_names_that_lead_out_stay_names(tmp_path):
    path = samples.tar(
        tmp_path / "in" / "a.tar", [("../../x.jpg", samples.jpeg(1)), ("../../x.txt", b"hello")]
    )
    (sample,) = samples_of(path)
    assert open_picture(sample.pair.picture).size == (50, 40)
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["a.tar", "in"]


def test_the_ending_of_pictures_that_is_asked_for(tmp_path):
    members = [("0.png", samples.jpeg(0)), ("0.jpg", samples.jpeg(1)), ("0.txt", b"x")]
    path = samples.tar(tmp_path / "a.tar", members)
    for kind, number in ((None, 0), ("png", 0), ("jpg", 1)):
        (sample,) = samples_of(path, Columns(image=kind))
        assert sample.pair.picture.read() == samples.jpeg(number)
    (sample,) = samples_of(path, Columns(image="webp"))
    assert sample.lacks.endswith("/0: no picture is among its members (.webp)")
    for opened in (open_dataset, lambda *given: next(stream(*given).read())):
        with pytest.raises(DataError, match=r"a.tar: pictures .* 'jpge' is none of.*'jpeg'"):
            opened(path, Columns(image="jpge"))


def test_captions(tmp_path):
    row = {"caption": "from json", "title": "a title", "kind": "red", "url": "x"}
    members = [("0.png", samples.jpeg(0)), ("0.txt", " from txt\n"), ("0.json", json.dumps(row))]
    path = samples.tar(
        tmp_path / "a.tar", [(n, d.encode() if isinstance(d, str) else d) for n, d in members]
    )

    def captions(**columns):
        (sample,) = samples_of(path, Columns(**columns))
        return sample.pair.captions

    assert captions() == ("from txt",)
    assert captions(caption="title") == ("a title",)
    assert captions(caption="txt") == ("from txt",)
    (sample,) = samples_of(path, Columns(concept="kind"))
    assert sample.pair.concept == "red"
    (sample,) = samples_of(path, Columns(caption="nothing"))
    assert (
        "no caption is among its members (.txt, or a column of .json); its .json has"
        in sample.lacks
    )


def test_places(tmp_path):
    path = samples.as_shards(tmp_path, shards=1) / "00000.tar"
    whole = list(samples_of(path))
    assert len(whole) == samples.COUNT
    for number in (0, 3, 28, 29):
        rest = list(samples_of(path, start=whole[number].following))
        assert [each.pair for each in rest] == [each.pair for each in whole[number + 1 :]]
        assert rest[-1:] == whole[number + 1 :][-1:]


def test_long_names_and_folders(tmp_path):
    path = tmp_path / "a.tar"
    names = [
        "x" * 200 + "/00.jpg",
        "x" * 200 + "/00.txt",
        "ä/01.jpg",
        "ä/01.txt",
        "b/01.jpg",
        "b/01.txt",
    ]
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        with tarfile.open(path, "w", format=form) as archive:
            for name in names:
                data = samples.jpeg(1) if name.endswith("jpg") else b"text"
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        found = list(samples_of(path))
        assert [open_picture(each.pair.picture).size for each in found] == [(50, 40)] * 3
        assert [each.pair for each in samples_of(path, start=found[0].following)] == [
            each.pair for each in found[1:]
        ]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[: len(data) // 2], "not a whole tar file|ends within this picture"),
        (lambda data: b"\x1f\x8b" + data, "not a whole tar file without compression"),
        (lambda data: b"no tar" * 200, "not a whole tar file"),
    ],
)
def test_damage(tmp_path, damage, said):
    path = samples.as_shards(tmp_path, shards=1) / "00000.tar"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=said):
        open_dataset(path)


def test_texts_that_are_none(tmp_path):
    picture = ("0.jpg", samples.jpeg(0))
    for member, said in (
        (("0.txt", b"\xff\xfe\xff"), "0.txt: not a text in UTF-8"),
        (("0.json", b"{"), "0.json: not JSON"),
        (
            ("0.txt", b"a" * ((1 << 20) + 1)),
            "a caption of 1,048,577 bytes; at most 1,048,576 are read",
        ),
    ):
        with pytest.raises(DataError, match=said):
            list(samples_of(samples.tar(tmp_path / "a.tar", [picture, member])))
    with pytest.raises(DataError, match=r"two members are called '0.jpg'"):
        list(samples_of(samples.tar(tmp_path / "a.tar", [picture, picture])))
    with pytest.raises(DataError, match="there is no such shard"):
        list(samples_of(tmp_path / "b.tar"))
