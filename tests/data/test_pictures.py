"""Pictures of every usual kind load right; the others are refused by name."""

import numpy as np
import pytest
from PIL import Image

from zoo.data.pictures import open_picture
from zoo.errors import DataError


def test_transparency_becomes_white(tmp_path):
    path = tmp_path / "clear.png"
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(path)
    assert open_picture(path).getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([255, 0, 0] * 256)
    palette.save(path, transparency=0)
    assert open_picture(path).getpixel((0, 0)) == (255, 255, 255)


def test_upright_by_exif(tmp_path):
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 2)).save(path, exif=exif)
    assert open_picture(path).size == (2, 4)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "png"), ("1", "png"), ("CMYK", "jpg"), ("P", "gif")]
)
def test_modes(tmp_path, mode, suffix):
    path = tmp_path / f"it.{suffix}"
    Image.new(mode, (3, 2)).save(path)
    found = open_picture(path)
    assert (found.mode, found.size) == ("RGB", (3, 2))


def test_sixteen_bits(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((2, 2), 32896, dtype=np.uint16)).save(path)
    assert open_picture(path).getpixel((0, 0)) == (128, 128, 128)


def test_an_open_picture_is_left_alone():
    given = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    open_picture(given)
    assert given.mode == "RGBA"


def test_what_is_no_picture():
    with pytest.raises(DataError, match="a picture is a path or a PIL image, not 3"):
        open_picture(3)


def test_unreadable_pictures(tmp_path):
    path = tmp_path / "it.png"
    with pytest.raises(DataError, match=r"it.png: there is no such picture"):
        open_picture(path)
    path.write_text("not a picture")
    with pytest.raises(DataError, match=r"it.png: not a picture in a format that Pillow knows"):
        open_picture(path)
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"it.png: the picture cannot be read"):
        open_picture(path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb(tmp_path, monkeypatch):
    path = tmp_path / "bomb.png"
    Image.new("L", (100, 100)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 9_999)
    with pytest.raises(DataError, match=r"bomb.png: refused: .*100 x 100 pixels, more than 9,999"):
        open_picture(path)
