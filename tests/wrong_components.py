"""Sound components, and for each conformance check one that is wrong in just that way.

In a module of its own, so that other processes can import it.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import tempfile
import time
import warnings
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

import zoo
from zoo.data.pairs import ImageTextDataset, Pair
from zoo.errors import ArgumentError
from zoo.weights.source import check_tag

PREPROCESS = zoo.Preprocess(
    resize=32, crop=(32, 32), interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3
)


class ImageEncoder(nn.Module):
    """Sound: a convolution and the mean."""

    any_size = True

    def __init__(self, *, weights: str | None = None, width: int = 8) -> None:
        super().__init__()
        check_tag(weights, [], "the sound image encoder")
        self.out_dim = width
        self.preprocess = PREPROCESS
        self.conv = nn.Conv2d(3, width, 8, stride=8)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, images):
        return self.forward_tokens(images).mean(1)

    def forward_tokens(self, images):
        return self.norm(self.conv(images)).flatten(2).transpose(1, 2)


class FrozenNorm(nn.Module):
    """Sound: normalises by numbers that never change, and so is never in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.full((8, 1, 1), 1.5))
        self.register_buffer("unknown", torch.full((2,), torch.nan))

    def forward(self, maps):
        return maps * self.scale

    def train(self, mode=True):
        return super().train(False)


class Unusual(ImageEncoder):
    """Sound: a frozen norm, a parametrised layer that cannot be pickled, and stochastic depth."""

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__(weights=weights)
        self.norm = FrozenNorm()
        self.conv = nn.utils.parametrizations.weight_norm(self.conv)
        self.branches = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))

    def forward(self, images):
        features = super().forward(images)
        taken = random.randrange(2) if self.training else None
        parts = [each(features) for row, each in enumerate(self.branches) if row != taken]
        return features + sum(parts)


class OldNorm(ImageEncoder):
    """Sound: with the older weight norm, which cannot be copied."""

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__(weights=weights)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.conv = nn.utils.weight_norm(self.conv)


class Lazy(ImageEncoder):
    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__(weights=weights)
        self.extra = nn.LazyLinear(8)


class SwallowsTags(ImageEncoder):
    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__()


class Calls(ImageEncoder):
    def forward(self, images):
        with contextlib.suppress(OSError):
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hello", ("127.0.0.1", 9))
        return super().forward(images)


class ChangesItsInput(ImageEncoder):
    def forward(self, images):
        return super().forward(images.mul_(2))


class SharesMemory(ImageEncoder):
    shared = nn.Linear(8, 8)

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__(weights=weights)
        self.last = self.shared

    def forward(self, images):
        return self.last(super().forward(images))


class BehindAGate(ImageEncoder):
    """Its hidden state is seen only once the gate has moved from zero."""

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__(weights=weights)
        self.gate = nn.Parameter(torch.zeros(()))
        self.offset = torch.randn(8)

    def forward(self, images):
        return super().forward(images) + self.gate * self.offset


class DiesElsewhere(ImageEncoder):
    def __setstate__(self, state):
        os._exit(1)


class SleepsElsewhere(ImageEncoder):
    def __setstate__(self, state):
        time.sleep(60)


class NothingTrains(ImageEncoder):
    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__(weights=weights)
        self.requires_grad_(False)


class ZeroGradients(ImageEncoder):
    def forward(self, images):
        weights = [each.sum() * 0 for each in self.parameters()]
        return images.mean((2, 3)).sum(1, keepdim=True).expand(-1, 8) + sum(weights)


class TurnsInHalf(ImageEncoder):
    def forward(self, images):
        return (super().forward(images) + 1000) - 1000


class AlwaysDouble(ImageEncoder):
    def forward(self, images):
        return super().forward(images).double()


class FixedBatch(ImageEncoder):
    def forward(self, images):
        return super().forward(images) + torch.zeros(len(images), 1, device=images.device)


class OtherChannels(ImageEncoder):
    def forward_tokens(self, images):
        tokens = super().forward_tokens(images)
        return tokens if len(images) == 1 else tokens[..., :4]

    def forward(self, images):
        return ImageEncoder.forward_tokens(self, images).mean(1)


class CutTokens(ImageEncoder):
    def forward(self, images):
        return ImageEncoder.forward_tokens(self, images).mean(1)

    def forward_tokens(self, images):
        return super().forward_tokens(images.detach())


class OtherOutDim(ImageEncoder):
    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__()
        self.out_dim = 9


class NoPreprocess(ImageEncoder):
    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__()
        del self.preprocess


class Phones(ImageEncoder):
    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", 9), timeout=1)


def preprocess_by_hand(picture):
    return torch.zeros(3, 32, 32)


preprocess_by_hand.crop = (32, 32)


class PreprocessIsCode(ImageEncoder):
    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__()
        self.preprocess = preprocess_by_hand


class OneSizeOnly(ImageEncoder):
    def forward(self, images):
        return super().forward(images.reshape(-1, 3, 32, 32))


class PooledTokens(ImageEncoder):
    def forward(self, images):
        return ImageEncoder.forward_tokens(self, images).mean(1)

    def forward_tokens(self, images):
        return self(images)


class AlwaysLearns(ImageEncoder):
    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__()
        self.hidden = [nn.Parameter(torch.ones(8))]  # which no module sees

    def forward(self, images):
        with torch.enable_grad():
            return super().forward(images) * self.hidden[0]


class NormNeverFreezes(ImageEncoder):
    def train(self, mode=True):
        return super().train(True)


class CountsItsCalls(ImageEncoder):
    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images):
        self.calls += 1
        return super().forward(images)


class Swallows(ImageEncoder):
    def __init__(self, *, weights: str | None = None, **options: object) -> None:
        super().__init__()


class Untyped(ImageEncoder):
    def __init__(self, *, weights: str | None = None, width=8) -> None:
        super().__init__()


class TypedForCheckers(ImageEncoder):
    def __init__(self, *, weights: str | None = None, width: Missing = 8) -> None:
        super().__init__()


class AlwaysDrops(ImageEncoder):
    def forward(self, images):
        return F.dropout(super().forward(images), 0.5, training=True)


class NotANumber(ImageEncoder):
    def forward(self, images):
        return super().forward(images) / 0 * 0


class HiddenState(ImageEncoder):
    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__()
        self.offset = torch.randn(8)

    def forward(self, images):
        return super().forward(images) + self.offset


class KeepsALambda(ImageEncoder):
    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__()
        self.act = lambda features: features

    def forward(self, images):
        return self.act(super().forward(images))


class UnusedParameter(ImageEncoder):
    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__()
        self.spare = nn.Linear(2, 2)


class CutsTheGraph(ImageEncoder):
    def forward(self, images):
        return super().forward(images.detach())


class AlwaysFloat(ImageEncoder):
    def forward(self, images):
        return super().forward(images).float()


class OnTheProcessor(ImageEncoder):
    def forward(self, images):
        return super().forward(images) + torch.ones(8, device="cpu")


class Squeezes(ImageEncoder):
    def forward(self, images):
        return super().forward(images).squeeze(0)


class LooksAtNeighbours(ImageEncoder):
    def forward(self, images):
        features = super().forward(images)
        return features - features.mean(0) / 2


class DataDependent(ImageEncoder):
    def forward(self, images):
        features = super().forward(images)
        return features if features.sum().item() > 0 else features * 2


class ExcusedFromExport(DataDependent):
    expected_failures: ClassVar = {"export": "which branch it takes depends on the picture"}


class ExcusedWithoutReason(DataDependent):
    expected_failures: ClassVar = {"export": " "}


class ExcusedWithoutNeed(ImageEncoder):
    expected_failures: ClassVar = dict.fromkeys(("export", "dtype"), "it used to fail once")


class ExcusedFromNothing(ImageEncoder):
    expected_failures: ClassVar = {"exprot": "a name that is no check"}


class Tokenizer:
    """Words to ids by a sum of their bytes; 1 begins a text, 2 ends it, 0 is padding."""

    def __init__(self, context_length: int = 12) -> None:
        self.context_length = context_length

    def __call__(self, texts: list[str]) -> dict[str, torch.Tensor]:
        rows = [self.row(text) for text in texts]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        return {"input_ids": ids, "attention_mask": (ids != 0).long()}

    def row(self, text: str) -> list[int]:
        words = [3 + sum(word.encode()) % 60 for word in text.split()]
        return [1, *words[: self.context_length - 2], 2]


class CutsTheEnd(Tokenizer):
    def row(self, text):
        words = [3 + sum(word.encode()) % 60 for word in text.split()]
        return [1, *words, 2][: self.context_length]


class NeverCuts(Tokenizer):
    def row(self, text):
        return [1, *(3 + sum(word.encode()) % 60 for word in text.split()), 2]


class SmallIds(Tokenizer):
    def __call__(self, texts):
        return {name: ids.int() for name, ids in super().__call__(texts).items()}


class TextEncoder(nn.Module):
    """Sound: the mean of embeddings over what the mask lets through."""

    tokenizer_class: type[Tokenizer] = Tokenizer

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__()
        check_tag(weights, [], "the sound text encoder")
        self.out_dim = 8
        self.context_length = 12
        self.tokenizer = self.tokenizer_class()
        self.embedding = nn.Embedding(64, 8)

    def forward(self, input_ids, attention_mask):
        mask = attention_mask.unsqueeze(-1).to(self.embedding.weight.dtype)
        return (self.embedding(input_ids) * mask).sum(1) / mask.sum(1)


class CutsTheEndEncoder(TextEncoder):
    tokenizer_class = CutsTheEnd


class NeverCutsEncoder(TextEncoder):
    tokenizer_class = NeverCuts


class SmallIdsEncoder(TextEncoder):
    tokenizer_class = SmallIds


class ReadsPadding(TextEncoder):
    def forward(self, input_ids, attention_mask):
        return self.embedding(input_ids).mean(1)


class ReadsTheLastColumn(TextEncoder):
    def forward(self, input_ids, attention_mask):
        mask = attention_mask.unsqueeze(-1).to(self.embedding.weight.dtype)
        tokens = self.embedding(input_ids)
        return (tokens * mask).sum(1) / mask.sum(1) + tokens[:, -1] * (mask[:, -1] == 0)


class Head(nn.Module):
    """Sound: a linear map."""

    def __init__(self, *, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(in_dim, out_dim)

    def forward(self, features):
        return self.proj(features)


class TokenHead(Head):
    """Sound: a linear map of the mean over places."""

    takes_tokens = True

    def forward(self, features):
        return self.proj(features.mean(1))


class SquareHead(Head):
    def forward(self, features):
        return self.proj(features) if len(self.proj.bias) == 48 else features


class DividesByNorm(Head):
    def forward(self, features):
        return self.proj(features / features.norm(dim=-1, keepdim=True))


class SaysOtherwise(TokenHead):
    def __init__(self, *, in_dim: int, out_dim: int) -> None:
        super().__init__(in_dim=in_dim, out_dim=out_dim)
        self.takes_tokens = False


class Loss(nn.Module):
    """Sound: cross-entropy of pairs among the batch, both ways."""

    claims: tuple[str, ...] = ("minimum-at-simplex",)

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, image_embeds, text_embeds):
        logits = self.log_scale.clamp(max=4.6).exp() * image_embeds @ text_embeds.T
        return self.of(logits, torch.arange(len(logits), device=logits.device))

    def of(self, logits, targets):
        return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


class InFloat(Loss):
    """Sound: computes in float32 whatever it gets; needs its own dimension, and two pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding_dim = 24
        self.center = nn.Parameter(torch.zeros(24))

    def forward(self, image_embeds, text_embeds):
        if len(image_embeds) < 2:
            raise ArgumentError("it needs two pairs")
        centre = self.center.tanh() * 0.01
        images, texts = image_embeds.float() - centre, text_embeds.float() - centre
        return super().forward(images.float(), texts.float())


class LabelsOnTheProcessor(Loss):
    def of(self, logits, targets):
        return super().of(logits, torch.arange(len(logits)))


class FailsInHalf(Loss):
    def of(self, logits, targets):
        return super().of(logits + 1000 - 1000, targets)


class DividesByTemperature(Loss):
    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(0.5))

    def of(self, logits, targets):
        return super().of(logits / self.temperature, targets)


class PerRow(Loss):
    def of(self, logits, targets):
        return F.cross_entropy(logits, targets, reduction="none")


class NaNForOnePair(Loss):
    def of(self, logits, targets):
        return super().of(logits, targets) / logits.std().clamp(min=1e-6)


class IgnoresTexts(Loss):
    def forward(self, image_embeds, text_embeds):
        return super().forward(image_embeds, text_embeds.detach())


class PrefersStrangers(Loss):
    def of(self, logits, targets):
        return super().of(logits, targets.roll(1))


class FirstPairCounts(Loss):
    def of(self, logits, targets):
        return super().of(logits, targets) + F.cross_entropy(logits[:1], targets[:1])


class LosesDigits(Loss):
    def of(self, logits, targets):
        return super().of(logits + 1e6 - 1e6, targets)


class Overflows(Loss):
    def of(self, logits, targets):
        rows = logits.exp()
        return -(rows.diagonal() / rows.sum(1)).log().mean()

    def forward(self, image_embeds, text_embeds):
        logits = self.log_scale.exp() * image_embeds @ text_embeds.T
        return self.of(logits, torch.arange(len(logits)))


class ClaimsTheMoon(Loss):
    claims = ("minimum-on-the-moon",)


class NoMinimumThere(Loss):
    def of(self, logits, targets):
        return super().of(logits, targets) - 3 * logits.diagonal().abs().neg().mean()


class AloneInEachProcess(Loss):
    claims = ("splits-over-processes",)


class OfImages(Loss):
    """Sound: image to text alone, with ids, as a sum over images."""

    sums_over_images = True

    def forward(self, image_embeds, text_embeds, image_ids=None):
        return self.over_images(image_embeds, text_embeds, 0, image_ids)

    def over_images(self, image_embeds, text_embeds, first, image_ids=None):
        logits = self.log_scale.clamp(max=4.6).exp() * image_embeds @ text_embeds.T
        numbers = torch.arange(len(text_embeds), device=logits.device)
        ids = numbers if image_ids is None else image_ids
        targets = self.targets(ids[first : first + len(logits)], ids).to(logits.dtype)
        targets = targets / targets.sum(1, keepdim=True)
        return -(targets * logits.log_softmax(1)).sum() / self.count(logits)

    def targets(self, rows, columns):
        return rows[:, None] == columns

    def count(self, logits):
        return logits.shape[1]


class IgnoresIds(OfImages):
    def targets(self, rows, columns):
        return torch.eye(len(rows), len(columns), device=rows.device)


class ReadsIdsAsNumbers(OfImages):
    def targets(self, rows, columns):
        return (rows[:, None] - columns).abs() < 2


class AveragesOverParts(OfImages):
    def count(self, logits):
        return logits.shape[0]


class Pupil(Loss):
    """Sound: pairs that its teacher holds for pairs count for more."""

    def forward(
        self, image_embeds, text_embeds, teacher_image_embeds=None, teacher_text_embeds=None
    ):
        if teacher_image_embeds is None or teacher_text_embeds is None:
            return self.alone(image_embeds, text_embeds)
        agreement = (teacher_image_embeds * teacher_text_embeds).sum(-1).mean()
        return super().forward(image_embeds, text_embeds) - self.weight(agreement)

    def alone(self, image_embeds, text_embeds):
        raise ArgumentError("it takes teacher_image_embeds and teacher_text_embeds")

    def weight(self, agreement):
        return 0.1 * agreement.detach()


class NeedsNoTeacher(Pupil):
    def alone(self, image_embeds, text_embeds):
        return Loss.forward(self, image_embeds, text_embeds)


class TrainsItsTeacher(Pupil):
    def weight(self, agreement):
        return 0.1 * agreement


FOLDER = Path(tempfile.gettempdir(), "zoo-wrong-datasets")
SPLITS = {"train": ("red", "green"), "validation": ("blue",), "test": ("teal",)}


def dataset(**changes: object) -> ImageTextDataset:
    """Sound unless changed: one picture a colour."""
    FOLDER.mkdir(exist_ok=True)
    splits = {}
    for name, colours in SPLITS.items():
        for colour in colours:
            if not (FOLDER / f"{colour}.png").exists():
                Image.new("RGB", (8, 8), colour).save(FOLDER / f"{colour}.png")
        splits[name] = [
            Pair(FOLDER / f"{colour}.png", (f"a {colour} square",), colour) for colour in colours
        ]
    told = {"splits": splits, "licence": "CC0-1.0", "attribution": "nobody", **changes}
    return ImageTextDataset(name="dataset", **told)


def not_a_dataset():
    return {"train": []}


def untrainable():
    return dataset(splits={"test": dataset().splits["test"]})


def missing_picture():
    return dataset(splits={"train": [Pair(FOLDER / "gone.png", ("gone",), "gone")]})


def blank_caption():
    return dataset(splits={"train": [Pair(FOLDER / "red.png", (" ",), "red")]})


def leaking():
    pairs = dataset().splits["train"]
    return dataset(splits={"train": pairs, "test": pairs})


def shuffled():
    pairs = [pair for split in dataset().splits.values() for pair in split]
    random.shuffle(pairs)
    return dataset(splits={"train": pairs[:2], "test": pairs[2:]})


def by_hash():
    """Fixed within a process, and another in each."""
    pairs = [Pair(FOLDER / "red.png", (f"square {row}",), f"square {row}") for row in range(20)]
    pairs.sort(key=lambda pair: hash(pair.concept))
    return dataset(splits={"train": pairs[:10], "test": pairs[10:]})


def unlicensed():
    return dataset(licence="")


for each in (
    not_a_dataset,
    untrainable,
    missing_picture,
    blank_caption,
    leaking,
    shuffled,
    by_hash,
    unlicensed,
):
    each.__name__ = "dataset"  # what the dataset calls itself
