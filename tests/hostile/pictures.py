"""Pictures of six formats, damaged."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hostile.damage import Kind, mutated
from zoo.data.pictures import open_picture

__all__ = ["PICTURES"]


def _picture(kind: str, *variants: dict[str, Any]) -> Callable[[], list[bytes]]:
    noise = np.random.default_rng(3).integers(0, 256, (24, 20, 3), np.uint8)

    def make() -> list[bytes]:
        found = []
        exif = Image.Exif()
        exif[0x0112] = 6
        for options in variants:
            mode = {"mode": "RGB", **options}["mode"]
            picture = Image.fromarray(noise).convert(mode)
            file = io.BytesIO()
            options = {key: value for key, value in options.items() if key != "mode"}
            if options.get("save_all"):
                options["append_images"] = [Image.new(mode, picture.size)]
            if kind in ("JPEG", "PNG", "WEBP"):
                options["exif"] = exif
            picture.save(file, kind, **options)
            found.append(file.getvalue())
        return found

    return make


def _with_sums(data: bytes) -> bytes:
    """A PNG with the checksum of each chunk made right again, so that more than those are tried."""
    out, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        body = data[at + 4 : at + 8 + size]
        out += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + size
    return bytes(out)


def _read_picture(content: bytes, folder: Path) -> None:
    path = folder / "it.picture"
    path.write_bytes(content)
    picture = open_picture(path)
    assert picture.mode == "RGB"
    assert picture.tobytes()


PICTURES: dict[str, Kind] = {
    "JPEG": (
        mutated(_picture("JPEG", {}, {"progressive": True}, {"mode": "CMYK"}, {"mode": "L"})),
        _read_picture,
    ),
    "PNG": (
        mutated(_picture("PNG", {}, {"mode": "RGBA"}, {"mode": "P"}, {"mode": "I;16"}), _with_sums),
        _read_picture,
    ),
    "WebP": (
        mutated(_picture("WEBP", {}, {"mode": "RGBA", "lossless": True}, {"save_all": True})),
        _read_picture,
    ),
    "GIF": (mutated(_picture("GIF", {}, {"mode": "L", "save_all": True})), _read_picture),
    "TIFF": (
        mutated(
            _picture(
                "TIFF",
                {},
                {"compression": "tiff_lzw"},
                {"compression": "tiff_adobe_deflate"},
                {"compression": "jpeg"},
                {"mode": "LAB"},
                {"mode": "I;16"},
            )
        ),
        _read_picture,
    ),
    "BMP": (mutated(_picture("BMP", {}, {"mode": "P"}, {"mode": "1"})), _read_picture),
}
