"""Weights files that lie: of their size, their names, what they hold and what they do."""

import io
import json
import os
import struct
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from zoo.errors import WeightsError
from zoo.weights.read import load_strictly, read_tensors


def told(shape=(2,), offsets=(0, 8), dtype="F32") -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def safetensors(header, data: bytes = bytes(8), length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def checkpoint(content, **options) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def rewritten(whole: bytes, change, method=zipfile.ZIP_STORED, more=()) -> bytes:
    """A checkpoint with its entries changed, and more of them."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(file, "w", method) as new:
        for name in old.namelist():
            new.writestr(name, change(name.partition("/")[2], old.read(name)))
        for name in more:
            new.writestr(name, b"x")
    return file.getvalue()


def number(value: int) -> bytes:
    """A whole number as a pickle has it."""
    return b"\x8a\x08" + struct.pack("<q", value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (safetensors({"a": told((200,), (0, 800))}), "file not fully covered"),
        (safetensors({"a": told((2_500_000_000,), (0, 10**10))}), "file not fully covered"),
        (safetensors({"a": told(), "b": told()}), "invalid offset"),
        (safetensors({"a": told(), "b": told(offsets=(4, 12))}, bytes(12)), "invalid offset"),
        (safetensors({"a": told(offsets=(8, 16))}, bytes(16)), "invalid offset"),
        (safetensors({"a": told()}, bytes(16)), "file not fully covered"),
        (safetensors({"a": told()}, length=2**63), "header too large"),
        (safetensors({"a": told()}, length=99_000_000), "invalid header length"),
        (safetensors({"a": told(dtype="F99")}), "unknown variant `F99`"),
        (safetensors({"a": told((2**32, 2**32, 2))}), "overflow"),
        (safetensors({"a": told((3,))}), "invalid shape|file not fully covered|data offset"),
        (safetensors({"a": told((-2,))}), "invalid value: integer `-2`"),
        (safetensors({"a": told(offsets=(-8, 0))}), "invalid value: integer `-8`"),
        (safetensors(b'{"a":%s,"a":%s}' % ((json.dumps(told()).encode(),) * 2), bytes(16)), "not "),
        (safetensors(b"[" * 100_000 + b"]" * 100_000), "invalid JSON in header"),
        (safetensors({"__metadata__": {"a": 3}, "a": told()}), "invalid JSON in header"),
    ],
)
def test_headers_that_lie(tmp_path, content, said):
    path = tmp_path / "it.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"it.safetensors: not a whole weights file .*{said}"):
        read_tensors(path)


class Payload:
    """Unpickled, it would make a folder."""

    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("suffix", ["bin", "pt", "pth", "ckpt"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_payload_is_named_and_not_run(tmp_path, suffix, zipped):
    path = tmp_path / f"evil.{suffix}"
    content = {"weight": torch.ones(1), "more": Payload(tmp_path / "canary")}
    path.write_bytes(checkpoint(content, _use_new_zipfile_serialization=zipped))
    with pytest.raises(WeightsError, match=r"it names posix.mkdir, which .*, and nothing was run"):
        read_tensors(path)
    assert not (tmp_path / "canary").exists()


def test_a_pickle_under_another_name_is_not_run(tmp_path):
    path = tmp_path / "evil.safetensors"
    path.write_bytes(checkpoint({"more": Payload(tmp_path / "canary")}))
    with pytest.raises(WeightsError, match=r"evil.safetensors: not a whole weights file"):
        read_tensors(path)
    assert not (tmp_path / "canary").exists()


def same(_, content):
    return content


def test_compressed_archives(tmp_path):
    """Mapped as they are, their tensors would be noise; and small ones could become huge."""
    path = tmp_path / "it.pth"
    whole = checkpoint({"a": torch.ones(4)})
    path.write_bytes(rewritten(whole, same))
    assert torch.equal(read_tensors(path)["a"], torch.ones(4))
    path.write_bytes(rewritten(whole, same, zipfile.ZIP_DEFLATED))
    with pytest.raises(WeightsError, match=r"it.pth: the archive's entry '.*' is compressed"):
        read_tensors(path)
    bomb = rewritten(whole, lambda name, content: bytes(50_000_000), zipfile.ZIP_DEFLATED)
    path.write_bytes(bomb)
    assert len(bomb) < 1_000_000
    with pytest.raises(WeightsError, match="is compressed, which no checkpoint of torch is"):
        read_tensors(path)


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "it/../../evil", "it\\..\\evil"])
def test_names_that_lead_out_of_an_archive(tmp_path, name):
    path = tmp_path / "it.pth"
    path.write_bytes(rewritten(checkpoint({"a": torch.ones(4)}), same, more=[name]))
    with pytest.raises(WeightsError, match=r"it.pth: the archive's entry '.*evil' has a name that"):
        read_tensors(path)
    assert [each.name for each in tmp_path.iterdir()] == ["it.pth"]


def test_an_archive_that_claims_more_than_its_file(tmp_path):
    path = tmp_path / "it.pth"
    whole = checkpoint({"a": torch.ones(4)})
    place = whole.rindex(b"PK\x01\x02") + 20  # sizes, in the last entry of the directory
    path.write_bytes(whole[:place] + struct.pack("<II", 10**9, 10**9) + whole[place + 8 :])
    with pytest.raises(WeightsError, match=r"it.pth: the archive claims to hold 1,000,000,\d+ byt"):
        read_tensors(path)


@pytest.mark.parametrize("claimed", [5, 2_500_000_000, 2**60, 2**62, -1])
def test_tensors_that_claim_more_than_their_entry(tmp_path, claimed):
    """Read from the mapped file, they would be what comes after, or end the process."""
    path = tmp_path / "it.pth"

    def lie(name, content):
        if name != "data.pkl":
            return content
        changed = content.replace(b"K\x04tq\x07Q", number(claimed) + b"tq\x07Q")
        changed = changed.replace(b"K\x00K\x04\x85", b"K\x00" + number(claimed) + b"\x85")
        assert changed != content
        return changed

    path.write_bytes(rewritten(checkpoint({"a": torch.ones(4)}), lie))
    with pytest.raises(WeightsError, match=r"it.pth: ('a' claims|not a whole weights file)"):
        read_tensors(path)


def test_an_entry_that_is_too_short(tmp_path):
    path = tmp_path / "it.pth"
    cut = rewritten(
        checkpoint({"a": torch.ones(4)}),
        lambda name, content: content[:4] if name == "data/0" else content,
    )
    path.write_bytes(cut)
    with pytest.raises(WeightsError, match=r"it.pth: 'a' claims 16 bytes of data, and the archive"):
        read_tensors(path)


@pytest.mark.parametrize("claimed", [2_500_000_000, 2**60])
def test_claims_of_the_older_format(tmp_path, claimed):
    path = tmp_path / "it.bin"
    whole = checkpoint({"a": torch.ones(1)}, _use_new_zipfile_serialization=False)
    path.write_bytes(whole.replace(b"K\x01Ntq", number(claimed) + b"Ntq", 1))
    with pytest.raises(WeightsError, match=r"it.bin: not a whole weights file"):
        read_tensors(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: torch.ones(1).expand(2_500_000_000),
            r"'a' claims 10,000,000,000 bytes, in a file of",
        ),
        (lambda: torch.empty(10**12, device="meta"), "'a' is not a plain tensor"),
        (lambda: torch.eye(2).to_sparse(), "'a' is not a plain tensor"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "'a' is not a"),
    ],
)
def test_tensors_that_are_not_plain(tmp_path, make, said):
    path = tmp_path / "it.pth"
    path.write_bytes(checkpoint({"a": make()}))
    with pytest.raises(WeightsError, match=rf"it.pth: ({said}|not a whole weights file)"):
        read_tensors(path)


def test_memory_asked_for_by_a_pickle(tmp_path):
    path = tmp_path / "it.bin"
    path.write_bytes(b"\x80\x02cbuiltins\nbytearray\n" + number(10**15) + b"\x85R.")
    with pytest.raises(WeightsError, match=r"it.bin: not a whole weights file"):
        read_tensors(path)


def test_tied_tensors_are_no_lie(tmp_path):
    path = tmp_path / "it.pth"
    one = torch.arange(6.0)
    path.write_bytes(checkpoint({"a": one, "b": one[2:4], "c": one.view(2, 3), "d": one.clone()}))
    assert torch.equal(read_tensors(path)["b"], torch.tensor([2.0, 3.0]))


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_cut_files(tmp_path, suffix, part):
    path = tmp_path / f"it.{suffix}"
    tensors = {"a": torch.ones(300), "b": torch.ones(300)}
    if suffix == "pth":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(WeightsError, match=rf"it.{suffix}: not a whole weights file"):
        read_tensors(path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_what_is_no_number_is_named(dtype):
    layer = torch.nn.Linear(2, 2).to(dtype)
    bad = {"weight": torch.zeros(2, 2, dtype=dtype), "bias": torch.zeros(2, dtype=dtype)}
    bad["bias"][1] = float("nan")
    with pytest.raises(WeightsError, match=r"here: bias holds NaN, so the model could give nothin"):
        load_strictly(layer, bad, "here")
    bad["bias"][1] = float("inf")
    with pytest.raises(WeightsError, match=r"here: bias holds infinity"):
        load_strictly(layer, bad, "here")
    assert all(parameter.isfinite().all() for parameter in layer.parameters())


def test_large_numbers_and_masks_are_no_fault():
    layer = torch.nn.Linear(2, 2)
    layer.register_buffer("mask", torch.zeros(2))
    good = {
        "weight": torch.full((2, 2), 3e38),  # their sum is infinite
        "bias": torch.zeros(2),
        "mask": torch.tensor([0, float("-inf")]),
    }
    load_strictly(layer, good, "here")
    assert layer.mask[1] == float("-inf")
