"""Pictures of every usual kind load right; the others are refused by name."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from zoo.data.pictures import FORMATS, open_picture
from zoo.errors import DataError


def noise(size=(64, 48)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8))


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes, more: bytes = b"") -> bytes:
    """A PNG written by hand, of kinds that Pillow does not write."""

    def chunk(title: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data))
            + title
            + data
            + struct.pack(">I", zlib.crc32(title + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    if more:
        more = chunk(more[:4], more[4:])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more
        + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )  # fmt: skip


def test_transparency_becomes_white(tmp_path):
    path = tmp_path / "clear.png"
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(path)
    assert open_picture(path).getpixel((0, 0)) == (255, 255, 255)
    Image.new("RGBA", (2, 2), (255, 0, 0, 51)).save(path)
    assert open_picture(path).getpixel((0, 0)) == (255, 204, 204)
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([255, 0, 0] * 256)
    palette.save(path, transparency=0)
    assert open_picture(path).getpixel((0, 0)) == (255, 255, 255)
    palette.save(path, transparency=bytes([51] * 256))
    assert open_picture(path).getpixel((0, 0)) == (255, 204, 204)
    palette.save(tmp_path / "clear.gif", transparency=0)
    assert open_picture(tmp_path / "clear.gif").getpixel((0, 0)) == (255, 255, 255)
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(tmp_path / "clear.webp", lossless=True)
    assert open_picture(tmp_path / "clear.webp").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_by_exif(tmp_path, orientation):
    """Written as a camera held that way would, a picture opens as what it saw."""
    seen = np.zeros((16, 24, 3), np.uint8)
    seen[:8, :8] = (255, 0, 0)
    seen[8:, 16:] = (0, 0, 255)
    # What is stored, by EXIF's definition of where the stored row 0 and column 0 lie in the scene.
    stored = {
        1: seen,
        2: seen[:, ::-1],
        3: seen[::-1, ::-1],
        4: seen[::-1],
        5: seen.swapaxes(0, 1),
        6: seen.swapaxes(0, 1)[::-1],
        7: seen[::-1, ::-1].swapaxes(0, 1),
        8: seen.swapaxes(0, 1)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    for suffix, options in (
        ("png", {}),
        ("jpg", {"quality": 95, "subsampling": 0}),
        ("webp", {"lossless": True}),
    ):
        path = tmp_path / f"turned.{suffix}"
        Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, **options)
        found = np.asarray(open_picture(path)).astype(int)
        assert found.shape == seen.shape
        assert abs(found - seen).max() < (48 if suffix == "jpg" else 1)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "png"), ("1", "png"), ("CMYK", "jpg"), ("P", "gif"), ("LAB", "tif")]
)
def test_modes(tmp_path, mode, suffix):
    path = tmp_path / f"it.{suffix}"
    Image.new(mode, (3, 2)).save(path)
    found = open_picture(path)
    assert (found.mode, found.size) == ("RGB", (3, 2))


def test_the_colours_of_print(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "red.jpg")
    assert open_picture(tmp_path / "red.jpg").getpixel((4, 4)) == (255, 0, 0)
    Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(tmp_path / "white.tif")
    assert open_picture(tmp_path / "white.tif").getpixel((4, 4)) == (255, 255, 255)
    Image.new("LAB", (8, 8), (255, 128, 128)).save(tmp_path / "white-lab.tif")
    assert min(open_picture(tmp_path / "white-lab.tif").getpixel((4, 4))) >= 254


def test_sixteen_bits_are_scaled(tmp_path):
    levels = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    for suffix in ("png", "tif"):
        path = tmp_path / f"deep.{suffix}"
        Image.fromarray(levels).save(path)
        assert open_picture(path).tobytes() == bytes([0] * 3 + [1] * 3 + [128] * 3 + [255] * 3)
    given = Image.frombytes("I;16B", (4, 1), levels.astype(">u2").tobytes())
    assert open_picture(given).getpixel((2, 0)) == (128, 128, 128)
    path = tmp_path / "colour.png"
    path.write_bytes(png(1, 1, 16, 2, b"\0" + struct.pack(">HHH", 0, 32896, 65535)))
    assert open_picture(path).getpixel((0, 0)) == (0, 128, 255)
    path.write_bytes(png(1, 1, 16, 4, b"\0" + struct.pack(">HH", 32896, 0)))
    assert open_picture(path).getpixel((0, 0)) == (255, 255, 255)
    clear = b"tRNS" + struct.pack(">H", 100)
    path.write_bytes(png(2, 1, 16, 0, b"\0" + struct.pack(">HH", 100, 32896), clear))
    assert open_picture(path).tobytes() == bytes([255] * 3 + [128] * 3)


def test_pixels_without_a_known_white(tmp_path):
    path = tmp_path / "it.tif"
    Image.new("F", (2, 2), 0.5).save(path)
    with pytest.raises(DataError, match=r"it.tif: its pixels are fractions, without a known white"):
        open_picture(path)
    Image.new("I", (2, 2), 70_000).save(path)
    with pytest.raises(DataError, match=r"it.tif: its levels go from 70000 to 70000, and those of"):
        open_picture(path)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_several(tmp_path, kind):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "blue", "lime")]
    path = tmp_path / "moving"
    options = {"lossless": True} if kind == "WEBP" else {}
    path.write_bytes(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    with Image.open(path) as image:
        assert image.n_frames == 3
    found = open_picture(path)
    assert (found.size, found.getpixel((0, 0))) == ((6, 4), (255, 0, 0))


@pytest.mark.parametrize("kind", FORMATS)
def test_one_pixel(tmp_path, kind):
    path = tmp_path / "it"  # the format is told from the bytes, whatever the name
    path.write_bytes(encoded(Image.new("RGB", (1, 1), "white"), kind))
    assert open_picture(path).getpixel((0, 0)) == (255, 255, 255)


def test_a_wrong_suffix_does_not_matter(tmp_path):
    path = tmp_path / "it.jpg"
    path.write_bytes(encoded(noise(), "PNG"))
    assert open_picture(path).tobytes() == noise().tobytes()


def test_pictures_of_a_phone(tmp_path):
    """JPEGs that hold several pictures, such as the one for each eye."""
    path = tmp_path / "it.jpg"
    other = Image.new("RGB", (8, 8), "blue")
    path.write_bytes(encoded(noise(), "MPO", save_all=True, append_images=[other]))
    assert open_picture(path).size == (64, 48)


@pytest.mark.parametrize("mode", ["RGBA", "RGBa", "La", "LA", "PA", "HSV", "YCbCr", "RGBX"])
def test_an_open_picture_is_left_alone(mode):
    given = Image.new(mode, (2, 2))
    assert open_picture(given).mode == "RGB"
    assert given.mode == mode


def test_what_is_no_picture():
    with pytest.raises(DataError, match="a picture is a path or a PIL image, not 3"):
        open_picture(3)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"not a picture", "not a whole picture in a format that zoo reads"),
        (
            b'<svg xmlns="http://www.w3.org/2000/svg"/>',
            r"zoo reads \(JPEG, PNG, WEBP, GIF, TIFF, B",
        ),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "convert it"),
        (encoded(noise(), "JPEG2000"), "not a whole picture in a format that zoo reads"),
        (encoded(noise(), "PPM"), "not a whole picture in a format that zoo reads"),
    ],
)
def test_other_files(tmp_path, content, said):
    path = tmp_path / "it.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"it.png: .*{said}"):
        open_picture(path)


def test_no_file(tmp_path):
    with pytest.raises(DataError, match=r"it.png: there is no such picture"):
        open_picture(tmp_path / "it.png")
    with pytest.raises(DataError, match=r": not a file, and a picture is one"):
        open_picture(tmp_path)
    with pytest.raises(DataError, match=r"there is no such picture"):
        open_picture("it\0.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match=r"pipe.png: not a file"):
        open_picture(tmp_path / "pipe.png")
    (tmp_path / "round.png").symlink_to(tmp_path / "round.png")
    with pytest.raises(DataError, match=r"round.png"):
        open_picture(tmp_path / "round.png")


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("BMP", {}),
    ],
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Truncated File Read")
def test_a_cut_file_is_never_half_a_picture(tmp_path, kind, options, part):
    path = tmp_path / "cut.file"
    whole = encoded(noise(), kind, **options)
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(
        DataError, match=r"cut.file: (the picture cannot be read|not a whole picture)"
    ):
        open_picture(path)
    with Image.open(io.BytesIO(whole)) as image:
        assert ImageOps.exif_transpose(image).size == (64, 48)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG"])
def test_a_damaged_header(tmp_path, kind):
    path = tmp_path / "damaged.file"
    whole = encoded(noise(), kind)
    path.write_bytes(whole[:6] + bytes(24) + whole[30:])
    with pytest.raises(DataError, match=r"damaged.file: "):
        open_picture(path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb(tmp_path, monkeypatch):
    path = tmp_path / "bomb.png"
    Image.new("L", (100, 100)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 9_999)
    with pytest.raises(
        DataError,
        match=r"bomb.png: refused: 100 x 100 pixels, more than 9,999, .* raise PIL.Image.MAX_IMAGE",
    ):
        open_picture(path)


def test_huge_claims(tmp_path):
    """Of a picture of 4 EB in 70 bytes nothing is read but the claim."""
    path = tmp_path / "huge.png"
    path.write_bytes(png(2**31 - 1, 2**31 - 1, 8, 0, b"\0"))
    with pytest.raises(DataError, match=r"huge.png: refused: .*raise PIL.Image.MAX_IMAGE_PIXELS"):
        open_picture(path)


def test_more_text_than_picture(tmp_path):
    path = tmp_path / "text.png"
    text = b"zTXt" + b"Comment\0\0" + zlib.compress(bytes(50_000_000))
    path.write_bytes(png(1, 1, 8, 0, b"\0\0", text))
    with pytest.raises(DataError, match=r"text.png: .*Decompressed data too large"):
        open_picture(path)


def test_a_jpeg_of_endless_scans(tmp_path):
    path = tmp_path / "scans.jpg"
    whole = encoded(noise(), "JPEG", progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    path.write_bytes(whole[:-2] + last * 1000 + whole[-2:])
    with pytest.raises(DataError, match=r"scans.jpg: refused: a JPEG in more than 100 scans"):
        open_picture(path)


def test_an_open_picture_is_named_by_its_file(tmp_path):
    path = tmp_path / "cut.png"
    path.write_bytes(encoded(noise(), "PNG")[:2000])
    with (
        Image.open(path) as image,
        pytest.raises(DataError, match=r"cut.png: the picture cannot be read"),
    ):
        open_picture(image)
