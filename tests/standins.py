"""Stand-ins for what a hub serves: the same layout and names, seeded weights."""

from __future__ import annotations

import gzip
import json
from importlib.resources import files
from pathlib import Path

REPOSITORY = "openai/clip-vit-base-patch32"
REVISION = "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268"


def clip_repository(hub: Path) -> Path:
    """The hub's cache folder of CLIP ViT-B/32: a `.bin`, no safetensors, the config of 2021."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    root = hub / f"models--{REPOSITORY.replace('/', '--')}"
    folder = root / "snapshots" / REVISION
    folder.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(REVISION)

    torch.manual_seed(20)
    model = CLIPModel(CLIPConfig())
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    state["vision_model.embeddings.position_ids"] = torch.arange(50)[None]
    torch.save(state, folder / "pytorch_model.bin")

    text = {
        "model_type": "clip_text_model",
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "quick_gelu",
        "projection_dim": 512,
        "vocab_size": 49408,
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_attention_heads": 8,
        "num_hidden_layers": 12,
        "max_position_embeddings": 77,
    }
    vision = {"model_type": "clip_vision_model", "projection_dim": 512, "patch_size": 32}
    config = {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": 512,
        "text_config": text,
        "vision_config": vision,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    write_clip_tokenizer(folder)
    return folder


def write_clip_tokenizer(folder: Path) -> None:
    """The CLIP tokenizer's files, from the merges that open_clip carries."""
    packed = files("open_clip").joinpath("bpe_simple_vocab_16e6.txt.gz").read_bytes()
    lines = gzip.decompress(packed).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    merges = [line.split() for line in lines]
    letters = list(_byte_letters())
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    words += ["".join(merge) for merge in merges] + ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: row for row, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n")
    special = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
    }
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    settings = {**special, "model_max_length": 77, "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def resnet50_checkpoint(folder: Path) -> Path:
    """A torch hub checkpoint under the name of torchvision's `IMAGENET1K_V2`."""
    import torch
    from torchvision.models import resnet50

    folder.mkdir(parents=True)
    torch.manual_seed(50)
    path = folder / "resnet50-11ad3fa6.pth"
    torch.save(resnet50().state_dict(), path)
    return path


def _byte_letters() -> str:
    """A printable letter for each byte, in the order of the CLIP vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [256 + number for number in range(256 - len(printable))]
    return "".join(map(chr, printable + rest))
