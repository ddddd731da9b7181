"""Search: the nearest pictures, and the sheet that shows them."""

import pytest
import torch
from PIL import Image
from torch import nn

import zoo
from zoo.data.pairs import Pair
from zoo.errors import DataError, TowerError
from zoo.search.gallery import Gallery
from zoo.search.grid import write_grid

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


class MeanColour(nn.Module):
    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__()
        self.out_dim = 3
        self.preprocess = zoo.Preprocess(8, (8, 8), "bilinear", (0.0,) * 3, (1.0,) * 3)
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        return images.mean((2, 3))


class ColourWords(nn.Module):
    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__()
        self.out_dim, self.context_length = 3, 8
        self.unused = nn.Parameter(torch.zeros(1))

    def tokenizer(self, texts):
        ids = torch.tensor([[int(colour in text) for colour in COLOURS] for text in texts])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def forward(self, input_ids, attention_mask):
        return input_ids.float() + 1e-3


@pytest.fixture
def model():
    zoo.register("image_encoder", "mean-colour", MeanColour)
    zoo.register("text_encoder", "colour-words", ColourWords)
    tower = {"head": "identity", "train": "frozen"}
    return zoo.build(
        {
            "embedding_dim": 3,
            "image": {"encoder": "mean-colour", **tower},
            "text": {"encoder": "colour-words", **tower},
        },
        pretrained=False,
    )


@pytest.fixture
def pairs(tmp_path):
    made = []
    for name, colour in COLOURS.items():
        path = tmp_path / f"{name}.png"
        Image.new("RGB", (60, 40), colour).save(path)
        made.append(Pair(path, (f"the {name} one, of a name too long for one line",), name))
    return made


def test_the_nearest_comes_first(model, pairs):
    gallery = Gallery(model, pairs)
    for name in COLOURS:
        hits = gallery.search(f"something {name}", 2)
        assert hits[0].pair.concept == name
        assert len(hits) == 2
        assert 1 >= hits[0].score > hits[1].score
    assert len(gallery.search("red", 99)) == 3


def test_refusals(model, pairs):
    gallery = Gallery(model, pairs)
    with pytest.raises(DataError, match="the text to search for is empty"):
        gallery.search("  ")
    with pytest.raises(DataError, match="the number of matches is 1 or more, not 0"):
        gallery.search("red", 0)
    with pytest.raises(DataError, match="there are no pictures to search"):
        Gallery(model, [])
    model.image_encoder = None
    with pytest.raises(TowerError, match="search takes both towers"):
        Gallery(model, pairs)


def test_the_sheet(model, pairs, tmp_path):
    gallery = Gallery(model, pairs)
    path = tmp_path / "out" / "sheet.png"
    with pytest.raises(DataError, match=r"sheet.png: there is no folder"):
        write_grid([], path)
    with pytest.raises(DataError, match=r"sheet.jpg: the picture of the matches is a PNG"):
        write_grid([], tmp_path / "sheet.jpg")
    path.parent.mkdir()
    write_grid(
        [("red", gallery.search("red", 3)), ("blue", gallery.search("blue", 1))],
        path,
        columns=2,
        footer="whom to thank",
    )
    sheet = Image.open(path).convert("RGB")
    colours = {colour for _, colour in sheet.getcolors(1 << 24)}
    assert set(COLOURS.values()) <= colours
    assert [file.name for file in path.parent.iterdir()] == ["sheet.png"]
    assert sheet.getpixel((20, 60)) == COLOURS["red"]
