"""What a weights file claims, held against what it is: nothing is believed of a file from elsewhere."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import WeightsError, first_line

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["check_archive", "check_claims", "check_numbers", "reason_of"]


def check_archive(path: Path) -> bool:
    """Refuse a torch checkpoint that is a zip archive of another making than torch's.

    Returns:
        Whether the file is a zip archive at all.

    Raises:
        WeightsError: an entry is compressed (torch never does, and maps the file as it is), holds
            more than the file can, or has a name that leads out of the archive.
    """
    if not _is_archive(path):
        return False
    held = 0
    for entry in _entries(path):
        held += entry.file_size
        where = f"{path}: the archive's entry {entry.filename!r}"
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise WeightsError(f"{where} is compressed, which no checkpoint of torch is")
        if entry.filename.startswith("/") or ".." in re.split(r"[/\\]", entry.filename):
            raise WeightsError(f"{where} has a name that leads out of the archive")
    if held > path.stat().st_size:
        raise WeightsError(
            f"{path}: the archive claims to hold {held:,} bytes, in a file of "
            f"{path.stat().st_size:,}"
        )
    return True


def check_claims(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors that lie outside their file's data, or are larger than it, or are not plain.

    Read beyond its end, a mapped file would end the process.

    Raises:
        WeightsError: names the tensor.
    """
    import torch

    size = path.stat().st_size
    storages: dict[int, tuple[str, int]] = {}
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise WeightsError(f"{path}: {name!r} is not a plain tensor")
        if tensor.nbytes > size:
            raise WeightsError(
                f"{path}: {name!r} claims {tensor.nbytes:,} bytes, in a file of {size:,}"
            )
        storage = tensor.untyped_storage()
        storages.setdefault(storage.data_ptr(), (name, storage.nbytes()))
    if not _is_archive(path):
        return
    records = Counter(each.file_size for each in _entries(path) if "/data/" in each.filename)
    for name, claimed in storages.values():
        if claimed and not records[claimed]:
            raise WeightsError(
                f"{path}: {name!r} claims {claimed:,} bytes of data, and the archive has no such "
                "entry"
            )
        records[claimed] -= 1


def check_numbers(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Refuse NaN in any tensor, and infinity in a parameter; a mask may well hold infinities.

    Raises:
        WeightsError: names the first tensor.
    """
    import torch

    parameters = {name for name, _ in module.named_parameters()}
    for name, tensor in tensors.items():
        if not (tensor.is_floating_point() or tensor.is_complex()):
            continue
        plain = tensor.detach()
        if not tensor.is_complex() and tensor.itemsize < 2:  # float8 knows no arithmetic
            plain = plain.float()
        if _sums_up(plain):
            continue
        if torch.isnan(plain).any():
            raise WeightsError(f"{where}: {name} holds NaN, so the model could give nothing else")
        if name in parameters and torch.isinf(plain).any():
            raise WeightsError(f"{where}: {name} holds infinity, so the model would give NaN")


def _sums_up(tensor: Tensor) -> bool:
    """Whether the sum is finite, and so every element: in one pass, which is enough for most."""
    import numpy
    import torch

    if tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.float64):
        with numpy.errstate(all="ignore"):  # torch would wake its threads for each small tensor
            return bool(numpy.isfinite(tensor.numpy().sum()))
    return bool(tensor.sum().isfinite())


def reason_of(error: BaseException) -> str:
    """One line of why a file could not be read, without torch's advice to run what it names."""
    said = str(error)
    named = re.search(r"GLOBAL (\S+) (?:was not an allowed global|whose module)", said)
    if named:
        return f"it names {named[1]}, which is no tensor, and nothing was run"
    if said.startswith("Weights only load failed"):
        said = re.sub(r"(?s)^.*?\n\s*\n|Please file an issue.*|Check the documentation.*", "", said)
    return first_line(error, said)


def _is_archive(path: Path) -> bool:
    if path.suffix == ".safetensors":
        return False
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _entries(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except Exception as error:  # whatever damaged bytes lead the parser to
        raise WeightsError(
            f"{path}: not a whole weights file ({path.stat().st_size:,} bytes): {reason_of(error)}. "
            "Delete it and let it be fetched again"
        ) from error
