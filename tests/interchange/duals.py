"""Small seeded dual encoders of transformers in folders, as their own classes save them."""

import json
from pathlib import Path

import torch
import transformers as hf

from standins import write_clip_tokenizer

__all__ = ["TEXTS", "clip", "dual", "siglip", "theirs"]

TEXTS = ["a cat", "a dog with pizza, 🐶", ""]
_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
_VISION = {**_TEXT, "image_size": 32, "patch_size": 8}
_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "dog", "pizza", "with"]


def clip(folder: Path, **processor) -> Path:
    torch.manual_seed(3)
    ends = {"bos_token_id": 49406, "eos_token_id": 49407}
    config = hf.CLIPConfig(
        text_config={**_TEXT, **ends, "projection_dim": 24},
        vision_config={**_VISION, "projection_dim": 24},
        projection_dim=24,
    )
    return _write(folder, hf.CLIPModel(config), processor)


def siglip(folder: Path) -> Path:
    torch.manual_seed(4)
    text = {**_TEXT, "vocab_size": 49408, "max_position_embeddings": 16, "pad_token_id": 1}
    model = hf.SiglipModel(hf.SiglipConfig(text_config=text, vision_config=_VISION))
    model.logit_scale.data.fill_(4.76)  # beyond 100, as in the published ones
    model.logit_bias.data.fill_(-12.9)
    size = {"size": {"height": 32, "width": 32}, "do_center_crop": False, "crop_size": None}
    return _write(folder, model, {**size, "image_mean": [0.5] * 3, "image_std": [0.5] * 3})


def dual(folder: Path, *, image: str = "vit") -> Path:
    torch.manual_seed(5)
    vision = hf.ViTConfig(**_VISION) if image == "vit" else hf.CLIPVisionConfig(**_VISION)
    text = hf.BertConfig(**_TEXT, vocab_size=len(_WORDS), max_position_embeddings=20)
    config = hf.VisionTextDualEncoderConfig(
        vision_config=vision.to_dict(), text_config=text.to_dict(), projection_dim=20
    )
    _write(folder, hf.VisionTextDualEncoderModel(config), {}, tokenizer=False)
    (folder / "vocab.txt").write_text("\n".join(_WORDS))
    hf.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def _write(folder, model, processor, *, tokenizer=True):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.05)
    model.save_pretrained(folder)
    if tokenizer:
        write_clip_tokenizer(folder)
    settings = {
        "size": {"shortest_edge": 36},
        "crop_size": {"height": 32, "width": 32},
        **processor,
    }
    whole = hf.CLIPImageProcessor(**settings).to_dict()
    (folder / "preprocessor_config.json").write_text(json.dumps(whole))
    return folder


def theirs(folder: Path, model, picture):
    """What transformers itself makes of a picture and of texts, with zoo's token ids."""
    whole = hf.AutoModel.from_pretrained(folder).eval()
    processor = hf.AutoImageProcessor.from_pretrained(folder)
    pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        images = whole.get_image_features(pixel_values=pixels).pooler_output
        texts = whole.get_text_features(**model.tokenize(TEXTS)).pooler_output
    normalize = torch.nn.functional.normalize
    return whole, normalize(images, dim=-1), normalize(texts, dim=-1)
