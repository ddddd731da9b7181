"""JPEGs to normalised batches at 224 px, on one core, in turn with torchvision's v1 transforms on PIL.

Both decode, cut a random part, mirror half of the pictures, and make float batches; the pictures are
drawn from many colours and scales and compressed as cameras and data sets do it (quality 90).
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import default_collate
from torchvision import transforms

from zoo.data.augment import Augmentation, Augmenter, Crop, normalise
from zoo.encoders.preprocess import Preprocess

SIZES = {"500x375": (500, 375), "640x480": (640, 480), "1024x768": (1024, 768)}
"""As in ImageNet, in COCO, and from the web at large."""

LARGER = {"2048x1536": (2048, 1536), "4032x3024": (4032, 3024)}
"""As cameras make them; shown, and not part of the ratio."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def photo(width: int, height: int, seed: int) -> bytes:
    """A JPEG whose spectrum falls as a photograph's does, with some sensor noise."""
    draw = np.random.default_rng(seed)
    levels = np.zeros((height, width, 3), np.float32)
    for octave in range(1, 9):
        across = 2**octave
        down = max(across * height // width, 1)
        for channel in range(3):
            coarse = Image.fromarray(draw.normal(size=(down, across)).astype(np.float32))
            fine = coarse.resize((width, height), Image.Resampling.BICUBIC)
            levels[..., channel] += np.asarray(fine) / 2 ** (octave - 1)
    levels += draw.normal(scale=0.03, size=levels.shape)
    levels = (levels - levels.min()) / (levels.max() - levels.min())
    file = io.BytesIO()
    Image.fromarray((255 * levels).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def ours(scale: tuple[float, float]) -> Callable[[Sequence[Path]], Tensor]:
    preprocess = Preprocess(256, (224, 224), "bilinear", MEAN, STD)
    augmenter = Augmenter(preprocess, Augmentation(crop=Crop(scale=scale), flip=0.5))
    seed = iter(range(1 << 40))

    def batch(paths: Sequence[Path]) -> Tensor:
        pixels = torch.stack([augmenter.read(path, next(seed)) for path in paths])
        return normalise(pixels, preprocess)

    return batch


def torchvision_v1(scale: tuple[float, float]) -> Callable[[Sequence[Path]], Tensor]:
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(224, scale=scale),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )

    def batch(paths: Sequence[Path]) -> Tensor:
        pictures = []
        for path in paths:
            with Image.open(path) as image:
                pictures.append(transform(image.convert("RGB")))
        made: Tensor = default_collate(pictures)
        return made

    return batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=15, help="of each size and way")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--scale", type=float, nargs=2, default=(0.5, 1.0), help="area of the part")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    scale = (options.scale[0], options.scale[1])
    ways = {"zoo": ours(scale), "torchvision_v1": torchvision_v1(scale)}
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size, (width, height) in (SIZES | LARGER).items():
            count = options.batch_size if size in SIZES else 4
            paths = [Path(folder, f"{size}-{number}.jpg") for number in range(count)]
            for number, path in enumerate(paths):
                path.write_bytes(photo(width, height, number % 8))
            seconds: dict[str, list[float]] = {name: [] for name in ways}
            for turn in range(options.batches + 1):
                for name, way in ways.items():
                    start = time.process_time()
                    made = way(paths)
                    spent = time.process_time() - start
                    assert made.shape == (count, 3, 224, 224)
                    assert made.dtype == torch.float32
                    if turn:  # the first one warms up
                        seconds[name].append(spent / count)
            figures[size] = {name: statistics.median(spent) for name, spent in seconds.items()}
    ratio = {size: each["torchvision_v1"] / each["zoo"] for size, each in figures.items()}
    for size, each in figures.items():
        print(
            f"{size:<10} zoo {1 / each['zoo']:7.0f} pictures/s   torchvision v1 "
            f"{1 / each['torchvision_v1']:7.0f} pictures/s   {ratio[size]:.2f} times faster"
        )
    overall = sum(figures[size]["torchvision_v1"] for size in SIZES) / sum(
        figures[size]["zoo"] for size in SIZES
    )
    print(f"the first {len(SIZES)} together: {overall:.2f} times faster")
    if options.json:
        said = {
            size: {f"{name}_per_second": round(1 / value, 1) for name, value in each.items()}
            for size, each in figures.items()
        }
        ratios = {"torchvision_v1": overall} | {f"torchvision_v1_{k}": v for k, v in ratio.items()}
        print(json.dumps({**said, "ratios": {k: round(v, 2) for k, v in ratios.items()}}))


if __name__ == "__main__":
    main()
