"""Stand-ins for what a hub serves: the same layout and names, seeded weights."""

from __future__ import annotations

import gzip
import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

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
    processor = {
        "crop_size": 224,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "size": 224,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=2))
    write_clip_tokenizer(folder)
    return folder


def bert_folder(folder: Path) -> Path:
    """A BERT of nine words in a local folder, in safetensors."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "dog", "pizza"]
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=20,
    )
    BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def pin(snapshot: Path, data: Path) -> None:
    """Pin a stand-in's files in a data folder, in place of those that have its name elsewhere."""
    from zoo.weights.read import sha256_of

    repository = snapshot.parent.parent.name.removeprefix("models--").replace("--", "/")
    lines = [f'["hf://{repository}@{snapshot.name}"]']
    lines += [f'"{file.name}" = "{sha256_of(file)}"' for file in snapshot.iterdir()]
    data.mkdir(parents=True, exist_ok=True)
    (data / "pins.toml").write_text("\n".join(lines) + "\n")


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


MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"


def minilm_repository(hub: Path) -> Path:
    """The hub's cache folder of all-MiniLM-L6-v2: seeded weights at full size, a vocabulary of letters."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    root = hub / f"models--{MINILM.replace('/', '--')}"
    folder = root / "snapshots" / MINILM_REVISION
    folder.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(MINILM_REVISION)
    torch.manual_seed(6)
    config = BertConfig(
        vocab_size=30522,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
    )
    BertModel(config).save_pretrained(folder)
    letters = [chr(code) for code in range(33, 127)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{x}" for x in letters)]
    words += [f"[unused{row}]" for row in range(30522 - len(words))]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 256}')
    modules = [{"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    return folder


def enliven(model: nn.Module, images: Tensor) -> None:
    """Move every parameter off its starting value, and fit batch norms to `images`.

    Fresh networks have layers that are the identity or zero, which would hide one left out.
    """
    import torch

    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.01)
        norms = [each for each in model.modules() if hasattr(each, "running_mean")]
        for norm in norms:
            norm.momentum = None  # a plain average: one batch decides
        if norms:
            model.train()(images)
            model.eval()


def torchvision_checkpoint(architecture: str, images: Tensor, folder: Path) -> str:
    """A checkpoint in torch hub's cache as torchvision serves it; returns its tag.

    The files of DenseNet and ViT still have the names of older versions of torchvision, and the
    oldest ones know nothing of `num_batches_tracked`, which batch norm has since torch 0.4.1.
    """
    import re

    import torch
    from torchvision import models

    weights = models.get_model_weights(architecture)["DEFAULT"]
    options = {"init_weights": False} if architecture in ("googlenet", "inception_v3") else {}
    torch.manual_seed(30)
    model = models.get_model(architecture, weights=None, **options)
    enliven(model, images)
    state = model.state_dict()
    renamed = type(state)(state)
    renamed._metadata = state._metadata
    if architecture.startswith("densenet"):
        for name in state:
            old = re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name)
            renamed[old] = renamed.pop(name)
    if architecture.startswith("vit_"):
        renamed._metadata = None
        for name in state:
            old = name.replace(".mlp.0.", ".mlp.linear_1.").replace(".mlp.3.", ".mlp.linear_2.")
            renamed[old] = renamed.pop(name)
    oldest = architecture.startswith(("densenet", "vgg", "alexnet", "squeezenet"))
    if oldest:
        renamed._metadata = None
        for name in [name for name in renamed if name.endswith("num_batches_tracked")]:
            del renamed[name]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / weights.url.rpartition("/")[2]
    torch.save(renamed, path, _use_new_zipfile_serialization=not oldest)
    return weights.name


def timm_repository(name: str, images: Tensor, hub: Path) -> Path:
    """The hub's cache folder of one of timm's repositories; returns it."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(40)
    model = timm.create_model(name)
    enliven(model, images)
    root = hub / f"models--{timm.get_pretrained_cfg(name).hf_hub_id.replace('/', '--')}"
    snapshot = root / "snapshots" / "main-commit"
    snapshot.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("main-commit")
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, snapshot / "model.safetensors")
    return root
