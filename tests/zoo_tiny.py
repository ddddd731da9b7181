"""A plugin of two encoders of a few numbers each, and the distribution that offers it."""

from pathlib import Path

import torch
from torch import nn

from zoo import Preprocess

__all__ = ["ENTRY_POINTS", "SPEC", "TinyImage", "TinyText"]

ENTRY_POINTS = {
    "zoo.image_encoders": {"tiny-image": "zoo_tiny:TinyImage"},
    "zoo.text_encoders": {"tiny-text": "zoo_tiny:TinyText"},
}
SPEC = {
    "embedding_dim": 4,
    "image": {"encoder": "tiny-image", "weights": "none", "head": "linear"},
    "text": {"encoder": "tiny-text", "weights": "none", "head": "identity", "train": "frozen"},
}


class TinyImage(nn.Module):
    """Mean colour to three features."""

    out_dim = 3

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__()
        self.proj = nn.Linear(3, 3)
        self.preprocess = Preprocess(
            resize=8, crop=(8, 8), interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3
        )

    def forward(self, images):
        return self.proj(images.mean((2, 3)))


class TinyText(nn.Module):
    """Mean of a vector for each letter; which letters it knows stands in a file."""

    out_dim = 4
    context_length = 16

    def __init__(self, *, weights: str | None = None, saved_files: Path | None = None) -> None:
        super().__init__()
        path = None if saved_files is None else saved_files / "letters.txt"
        self.letters = path.read_text() if path else "abcdefghijklmnopqrstuvwxyz"
        self.embed = nn.Embedding(27, 4)

    def save_files(self, folder: Path) -> None:
        (folder / "letters.txt").write_text(self.letters)

    def tokenizer(self, texts):
        rows = [[self.letters.find(each) + 1 for each in text[:16].ljust(16)] for text in texts]
        ids = torch.tensor(rows)
        mask = (ids > 0).long()
        mask[:, 0] = 1
        return {"input_ids": ids, "attention_mask": mask}

    def forward(self, input_ids, attention_mask):
        mask = attention_mask.unsqueeze(-1).float()
        return (self.embed(input_ids) * mask).sum(1) / mask.sum(1)
