"""Pictures of one shade of a colour each, alone, as files' bytes, and in folders of classes."""

import io

from PIL import Image

__all__ = ["COLOURS", "class_folders", "png", "shade"]

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 60, 220), "grey": (128,) * 3}


def shade(colour, darker, size=(40, 40)):
    """A picture of a colour that is darker by so many levels."""
    return Image.new("RGB", size, tuple(max(0, level - darker) for level in colour))


def png(colour, darker, size=(16, 16)):
    file = io.BytesIO()
    shade(colour, darker, size).save(file, "PNG")
    return file.getvalue()


def class_folders(root, counts, names, size=(40, 36)):
    """A folder for each colour in one for each split, with so many shades; no picture is in two splits.

    Args:
        names: of the folders, for colours by name.
    """
    for number, (split, count) in enumerate(counts.items()):
        for colour, name in names.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for step in range(count):
                darker = 9 * step + 3 * number
                shade(COLOURS[colour], darker, size).save(folder / f"{step}.png")
    return root
