"""One step of training ResNet50 against CLIP's text tower: ours, open_clip's, plain PyTorch; in turn.

The same encoders, batch and resolution for all, with random weights, which cost what any others do.
Ours is the product's own `Stepper` on a model that `zoo.build` made: precision as measured, the text
tower's features computed once for each caption. open_clip runs its defaults, with the text tower
locked, in fp32 and in amp_bf16. The reference way is fp32, contiguous, with the text tower run at
every step without gradients.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

import zoo
from zoo.recipe import Recipe
from zoo.training.feed import Batch
from zoo.training.optimizer import make_optimizer, make_schedule
from zoo.training.precision import measured
from zoo.training.step import Stepper

TOKENS, VOCABULARY = 77, 49408


def ours(pictures: Tensor, ids: Tensor) -> tuple[Callable[[], float], str]:
    model = zoo.build("resnet50-clip", pretrained=False)
    model.to(memory_format=torch.channels_last)
    count = len(pictures)
    with torch.no_grad():
        features = model.text_encoder.features(ids, torch.ones_like(ids))
    recipe = Recipe(batch_size=count).filled(heads_only=False)
    optimizer = make_optimizer(model, recipe)
    stepper = Stepper(model, recipe, optimizer, make_schedule(optimizer, recipe, 1000))
    rows = torch.arange(count)
    batch = Batch(image_ids=rows, text_ids=rows, pictures=pictures, text_features=features)
    return lambda: stepper(batch).loss, stepper.precision


def open_clip_step(pixels: Tensor, ids: Tensor, precision: str) -> Callable[[], float]:
    """As `open_clip_train` steps by default: both towers, ClipLoss, AdamW with its own groups."""
    import open_clip
    from open_clip_train.precision import get_autocast

    size = pixels.shape[-1]
    config = {
        "embed_dim": 512,
        "vision_cfg": {
            "timm_model_name": "resnet50",
            "timm_pool": "avg",
            "timm_proj": "mlp",
            "image_size": size,
        },
        "text_cfg": {
            "context_length": TOKENS,
            "vocab_size": VOCABULARY,
            "width": 512,
            "heads": 8,
            "layers": 12,
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "resnet50-b32text.json").write_text(json.dumps(config))
        open_clip.add_model_config(folder)
        model = open_clip.create_model("resnet50-b32text", output_dict=True)
    model.lock_text_tower()
    model.train()
    loss_of, autocast = open_clip.ClipLoss(), get_autocast(precision, device_type="cpu")
    named = [each for each in model.named_parameters() if each[1].requires_grad]
    flat = [p for name, p in named if p.ndim < 2 or "bn" in name or "logit_scale" in name]
    matrices = [p for _, p in named if not any(p is each for each in flat)]
    groups = [{"params": flat, "weight_decay": 0.0}, {"params": matrices, "weight_decay": 0.2}]
    optimizer = torch.optim.AdamW(groups, lr=5e-4, betas=(0.9, 0.98), eps=1e-6)

    def step() -> float:
        optimizer.zero_grad()
        with autocast():
            out = model(pixels, ids)
            loss = loss_of(**out)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, 4.6052)
        return float(loss.item())

    return step


def reference_step(pixels: Tensor, ids: Tensor) -> Callable[[], float]:
    """As the model is written by hand from torchvision and transformers."""
    image = torchvision.models.resnet50()
    image.fc = nn.Sequential(nn.Linear(2048, 2048), nn.GELU(), nn.Linear(2048, 512))
    text = CLIPTextModelWithProjection(CLIPTextConfig(vocab_size=VOCABULARY)).eval()
    text.requires_grad_(False)
    scale = nn.Parameter(torch.tensor(2.6593))
    optimizer = torch.optim.AdamW([*image.parameters(), scale], lr=1e-4)
    labels = torch.arange(len(pixels))

    def step() -> float:
        optimizer.zero_grad()
        with torch.no_grad():
            texts = F.normalize(text(input_ids=ids).text_embeds, dim=-1)
        logits = scale.exp() * F.normalize(image(pixels), dim=-1) @ texts.T
        loss = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if importlib.util.find_spec("open_clip") is None:
        parser.error("the peer is not installed: pip install open_clip_torch")
    torch.manual_seed(0)
    bytes_ = torch.randint(256, (options.batch, 3, options.size, options.size), dtype=torch.uint8)
    pixels = bytes_ / 127.5 - 1
    ids = torch.randint(1, VOCABULARY - 2, (options.batch, TOKENS))
    ids[:, 0], ids[:, -1] = VOCABULARY - 2, VOCABULARY - 1
    own, precision = ours(bytes_, ids)
    steps = {
        "ours": own,
        "open_clip_fp32": open_clip_step(pixels, ids, "fp32"),
        "open_clip_bf16": open_clip_step(pixels, ids, "amp_bf16"),
        "reference_fp32": reference_step(pixels, ids),
    }
    without_units = measured("cpu").faster == "fp32"
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(options.runs + 1):
        for name, step in steps.items():
            if name == "open_clip_bf16" and without_units and turn > 1:
                continue  # minutes a step where bfloat16 is emulated
            start = time.perf_counter()
            step()
            if turn:  # the first one allocates, and chooses kernels
                seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in median.items():
        print(f"{name:<16}{value:9.3f} s   ({min(seconds[name]):.3f} to {max(seconds[name]):.3f})")
    ratios = {name: median[name] / median["ours"] for name in steps if name != "ours"}
    capabilities: dict[str, Any] = dict(torch.cpu.get_capabilities())
    processor = {
        "name": capabilities["cpu_name"],
        "bf16_units": any(value for name, value in capabilities.items() if name.endswith("_bf16")),
        "threads": torch.get_num_threads(),
    }
    print(f"ours in {precision}, on {processor['name']}")
    for name, ratio in ratios.items():
        print(f"zoo against {name}: {ratio:.2f} times faster")
    if options.json:
        figures = {name: round(value, 4) for name, value in median.items()}
        said = {"precision": precision, "processor": processor, **figures}
        print(json.dumps({**said, "ratios": {k: round(v, 2) for k, v in ratios.items()}}))


if __name__ == "__main__":
    main()
