"""A zoo model in clip-benchmark: its own functions and its command, on pictures and texts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from clip_benchmark.metrics import zeroshot_retrieval
from PIL import Image
from torchvision.datasets import ImageFolder

import zoo
import zoo_tiny
from zoo.data.class_folders import class_folders
from zoo.data.pairs import ImageTextDataset, Pair
from zoo.evaluation.clip_benchmark import for_clip_benchmark
from zoo.evaluation.prompts import Prompts
from zoo.evaluation.suite import Suite


@pytest.fixture
def benched(model):
    model.train()
    return for_clip_benchmark(model)


def test_embeddings_are_ours(model, benched, colours):
    """Also after training mode was on: batch norm and dropout would change them."""
    bench, transform, tokenizer = benched
    pictures = sorted(colours.rglob("*.png"))
    expected = model.embed_images(pictures), model.embed_texts(["red", "a green one"])
    with torch.no_grad():
        images = bench.encode_image(torch.stack([transform(Image.open(each)) for each in pictures]))
        texts = bench.encode_text(tokenizer(["red", "a green one"]).to("cpu"))
    assert torch.allclose(images, expected[0], atol=1e-6)
    assert torch.allclose(texts, expected[1], atol=1e-6)
    assert not bench.training
    assert not model.image_encoder.training


def test_zero_shot(model, benched, colours, peer_classification):
    bench, transform, tokenizer = benched
    names, templates = ["red", "green", "sky blue"], ["{c}", "a picture that is {c}"]
    data = ImageFolder(colours / "test", transform)
    data.classes = [name.replace("_", " ") for name in data.classes]
    loader = torch.utils.data.DataLoader(data, batch_size=4)
    theirs = peer_classification.evaluate(
        bench, loader, tokenizer, data.classes, templates, "cpu", amp=False
    )
    suite = Suite(model, class_folders(colours), precision="fp32")
    found = suite.zero_shot(Prompts(templates=templates))
    assert set(found.classes) == set(names) == set(data.classes)
    assert found.accuracy() == pytest.approx(theirs["acc1"], abs=1e-12)
    assert 0 < found.accuracy() < 1


def test_retrieval(model, benched, colours):
    bench, transform, tokenizer = benched
    pictures = sorted(colours.rglob("*.png"))
    captions = [
        ["abcdefghijklmnopqrstuvwxyz"[number:], "mlkjihgfedcbazyxwvutsrqpon"[number:]]
        for number in range(len(pictures))
    ]
    loader = [
        (
            torch.stack([transform(Image.open(each)) for each in pictures[at : at + 5]]),
            captions[at : at + 5],
        )
        for at in range(0, len(pictures), 5)
    ]
    theirs = zeroshot_retrieval.evaluate(bench, loader, tokenizer, "cpu", False, [1, 5])
    pairs = [
        Pair(path, tuple(texts), str(number))
        for number, (path, texts) in enumerate(zip(pictures, captions, strict=True))
    ]
    dataset = ImageTextDataset("colours", {"test": pairs}, "CC0-1.0", "nobody")
    found = Suite(model, dataset, precision="fp32").retrieval()
    for k in (1, 5):
        assert found.image_to_text.recall(k) == pytest.approx(theirs[f"text_retrieval_recall@{k}"])
        assert found.text_to_image.recall(k) == pytest.approx(theirs[f"image_retrieval_recall@{k}"])
    assert found.image_to_text.recall(5) > 0


@pytest.mark.long
def test_its_command(colours, tmp_path, install):
    """On Flickr8k's files, of pictures of our own."""
    pytest.importorskip("requests", reason="clip-benchmark's command imports it unasked")
    site = install("zoo-tiny", zoo_tiny.ENTRY_POINTS)
    lines = ["image,caption"]
    for number, path in enumerate(sorted(colours.rglob("*.png"))):
        Image.open(path).save(tmp_path / f"{number}.jpg")
        for letters in ("abcdefghijklmnopqrstuvwxyz", "mlkjihgfedcbazyxwvutsrqpon"):
            lines.append(f"{number}.jpg,{letters[number:]}")
    (tmp_path / "captions.txt").write_text("\n".join(lines))
    zoo.save(zoo.build(zoo_tiny.SPEC), tmp_path / "tiny")
    words = ["--dataset", "flickr8k", "--dataset_root", str(tmp_path), "--model", "tiny"]
    words += ["--annotation_file", str(tmp_path / "captions.txt"), "--task", "zeroshot_retrieval"]
    words += ["--pretrained", "none", "--num_workers", "0", "--output", "result.json", "--no_amp"]
    command = [sys.executable, "-m", "zoo.evaluation.clip_benchmark", "eval", "--model_type", "zoo"]
    path = os.pathsep.join([str(site), str(Path(zoo_tiny.__file__).parent), *sys.path])
    done = subprocess.run(
        [*command, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(Path(tmp_path, "result.json").read_text())
    pairs = [
        Pair(
            tmp_path / f"{number}.jpg",
            tuple(line.partition(",")[2] for line in lines[1:][2 * number :][:2]),
            str(number),
        )
        for number in range(len(lines) // 2)
    ]
    dataset = ImageTextDataset("colours", {"test": pairs}, "CC0-1.0", "nobody")
    found = Suite(zoo.load(tmp_path / "tiny"), dataset, precision="fp32").retrieval()
    for direction, name in ((found.image_to_text, "text"), (found.text_to_image, "image")):
        recall = result["metrics"][f"{name}_retrieval_recall@5"]
        assert direction.recall(5) == pytest.approx(recall)
        assert recall < 1
