"""A hub of stand-ins: real repositories' names and layout, seeded weights, no network."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zoo.weights.read import sha256_of

Publish = Callable[[str, dict[str, Path | bytes]], None]

_COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The hub's cache; large, and gone after the tests."""
    folder = tmp_path_factory.mktemp("openclip-hub")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def _with_plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> Iterator[None]:
    from huggingface_hub import constants

    from zoo.registry import catalog

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("ZOO_PLUGINS", "zoo-openclip")
    monkeypatch.delenv("ZOO_REGISTRY", raising=False)
    monkeypatch.chdir(tmp_path)
    catalog.cache_clear()
    yield
    catalog.cache_clear()


@pytest.fixture(scope="session")
def hub(cache: Path) -> Publish:
    """Puts a repository's files into the cache, as the hub lays them out."""

    def publish(repository: str, files: dict[str, Path | bytes]) -> None:
        root = cache / f"models--{repository.replace('/', '--')}"
        snapshot = root / "snapshots" / _COMMIT
        for folder in (snapshot, root / "blobs", root / "refs"):
            folder.mkdir(parents=True, exist_ok=True)
        (root / "refs" / "main").write_text(_COMMIT)
        for name, content in files.items():
            if isinstance(content, Path):
                blob = root / "blobs" / sha256_of(content)
                os.link(content, blob)
            else:
                blob = root / "blobs" / hashlib.sha256(content).hexdigest()
                blob.write_bytes(content)
            (snapshot / name).symlink_to(blob)

    return publish


@pytest.fixture(scope="session")
def checkpoints(hub: Publish, cache: Path) -> None:
    """Checkpoints of three configs in three formats, under the repositories of real tags."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = cache / "made"
    folder.mkdir()

    def seeded(name: str) -> dict[str, torch.Tensor]:
        torch.manual_seed(20)
        state = open_clip.create_model(name, load_weights=False).state_dict()
        for key, tensor in state.items():  # moments of a trained network's, not of a fresh one's
            if key.endswith("running_mean"):
                tensor.normal_(std=0.1)
            elif key.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
        return state

    vit = folder / "vit.safetensors"
    save_file(seeded("ViT-B-32"), vit)
    for repository in (
        "timm/vit_base_patch32_clip_224.openai",
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    ):
        hub(repository, {"open_clip_model.safetensors": vit})

    # As a training run writes it, at half precision.
    resnet = {f"module.{key}": value.half() for key, value in seeded("RN50").items()}
    torch.save({"epoch": 3, "state_dict": resnet}, folder / "resnet.bin")
    hub("timm/resnet50_clip.openai", {"open_clip_pytorch_model.bin": folder / "resnet.bin"})

    mobile = {key: value.half() for key, value in seeded("MobileCLIP-S1").items()}
    assert any(key.startswith("text.") for key in mobile)
    torch.save(mobile, folder / "mobile.bin")
    hub("apple/MobileCLIP-S1-OpenCLIP", {"open_clip_pytorch_model.bin": folder / "mobile.bin"})


@pytest.fixture(scope="session")
def tokenizers_in_hub(hub: Publish) -> None:
    """Small tokenizers under the names of real ones: SigLIP's, BERT's, XLM-V's and RoBERTa's."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["a", "an", "the", "photo", "of", "cat", "dog", "red", "small", "word", "pizza"]

    def files(special: list[str], template: str, pad: str, **more: str) -> dict[str, bytes]:
        vocabulary = {word: row for row, word in enumerate([*special, "<unk>", *words])}
        made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.Whitespace()
        made.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=[(word, vocabulary[word]) for word in special]
        )
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": pad, **more}
        return {
            "tokenizer.json": made.to_str().encode(),
            "tokenizer_config.json": json.dumps(settings).encode(),
        }

    roberta = {
        "model_type": "roberta",
        "vocab_size": 40,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 90,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    tokens = files(["<s>", "<pad>", "</s>"], "<s> $A </s>", "<pad>", eos_token="</s>")
    hub("roberta-base", tokens | {"config.json": json.dumps(roberta).encode()})
    bare = {"config.json": json.dumps({"model_type": "roberta"}).encode()}
    hub("facebook/xlm-v-base", tokens | bare)
    hub("timm/ViT-B-16-SigLIP", files(["<x>", "</s>"], "$A </s>", "</s>", eos_token="</s>") | bare)
    bert = files(["[PAD]", "[CLS]", "[SEP]"], "[CLS] $A [SEP]", "[PAD]", sep_token="[SEP]")
    hub("bert-base-uncased", bert | bare)


@pytest.fixture(scope="session")
def small_configs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Real configs of large families made small, as `small-<name>`."""
    import open_clip
    from open_clip import factory

    folder = tmp_path_factory.mktemp("openclip-configs")
    narrow = {"width": 32, "heads": 2, "layers": 2}
    for name in (
        "ViT-B-32",
        "MobileCLIP-S1",
        "ViT-B-16-SigLIP",
        "ViT-L-14-CLIPA",
        "ViT-H-14-worldwide",
        "coca_ViT-B-32",
    ):
        config = open_clip.get_model_config(name)
        config["text_cfg"] |= narrow
        if config["text_cfg"].get("hf_tokenizer_name"):
            config["text_cfg"]["vocab_size"] = 40
        if "timm_model_name" not in config["vision_cfg"]:  # timm's towers are of one size
            config["vision_cfg"] |= {"width": 64, "layers": 2, "head_width": 16}
            config["embed_dim"] = 32
        if "multimodal_cfg" in config:
            config["multimodal_cfg"] |= narrow
        (folder / f"small-{name}.json").write_text(json.dumps(config))
    known, paths = dict(factory._MODEL_CONFIGS), list(factory._MODEL_CONFIG_PATHS)
    open_clip.add_model_config(folder)
    yield
    factory._MODEL_CONFIGS, factory._MODEL_CONFIG_PATHS = known, paths


@pytest.fixture
def tag(
    hub: Publish, small_configs: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Gives a small config a tag of its own, whose repository has the file that is given."""
    import torch
    from open_clip import pretrained

    def publish(
        config: str, content: object, file: str = "open_clip_pytorch_model.bin", **settings: object
    ) -> str:
        if not isinstance(content, bytes):
            torch.save(content, tmp_path / file)
            content = (tmp_path / file).read_bytes()
        repository = f"somebody/{hashlib.sha256(content).hexdigest()[:12]}-{tmp_path.name}"
        hub(repository, {file: content})
        known = {"made": pretrained._pcfg(hf_hub=f"{repository}/", **settings)}
        monkeypatch.setitem(pretrained._PRETRAINED, config, known)
        return "made"

    return publish
