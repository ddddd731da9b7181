"""A model on a dataset: what is embedded, how often, and what each question is asked of."""

import pytest
import torch
from PIL import Image

from zoo.data.class_folders import class_folders
from zoo.data.pairs import ImageTextDataset, Pair
from zoo.errors import DataError, TowerError
from zoo.evaluation.clip_benchmark import ForClipBenchmark
from zoo.evaluation.embeddings import embed_texts
from zoo.evaluation.judge import Judge
from zoo.evaluation.pictures import draw_confusion, draw_retrieval, draw_similarity
from zoo.evaluation.prompts import Prompts
from zoo.evaluation.suite import Suite
from zoo.evaluation.zero_shot import class_embeds, zero_shot


@pytest.fixture
def dataset(colours):
    folders = class_folders(colours)
    pairs = [
        Pair(pair.picture, (f"{letter} {pair.concept}", letter * 3), pair.concept)
        for pair, letter in zip(folders.split("test"), "bcdfghjkl", strict=True)
    ]
    splits = {"train": folders.split("train"), "test": pairs}
    return ImageTextDataset("colours", splits, "CC0-1.0", "nobody")


def test_every_caption_or_one_for_each_concept(model, dataset):
    suite = Suite(model, dataset, precision="fp32")
    found = suite.retrieval()
    assert (found.images, found.captions) == (9, 18)
    assert suite.text_image.tolist() == [row // 2 for row in range(18)]
    assert torch.allclose(suite.text_embeds, model.embed_texts(suite.captions), atol=1e-6)
    pictures = [pair.picture for pair in suite.pairs]
    assert torch.allclose(suite.image_embeds, model.embed_images(pictures), atol=1e-6)
    few = Suite(model, dataset, per_concept=True, first_caption=True, precision="fp32")
    judge = Judge(model, dataset.split("test"), precision="fp32")
    assert few.captions == ["b green", "f red", "j sky_blue"]
    assert (
        few.retrieval().image_to_text.ranks.tolist()
        == judge.retrieval().image_to_text.ranks.tolist()
    )
    recall = judge.recall()
    assert recall.image_to_text[1] == few.retrieval().image_to_text.recall(1)
    assert recall.count == 3


def test_it_is_always_in_eval_mode(model, dataset):
    still = Suite(model, dataset, precision="fp32").retrieval()
    model.train()
    moving = Suite(model, dataset, precision="fp32").retrieval()
    assert still.text_to_image.ranks.tolist() == moving.text_to_image.ranks.tolist()
    assert model.image_encoder.encoder.training


def test_captions_that_pictures_share(model, colours):
    suite = Suite(model, class_folders(colours))
    assert suite.shared_captions == 9
    # Three pictures share each: two wrong ones tie with the right one.
    assert suite.retrieval().image_to_text.ranks.min() >= 3


def test_zero_shot_by_hand(model, dataset):
    templates = ["a {c}", "{c} it is"]
    found = Suite(model, dataset, precision="fp32").zero_shot(
        Prompts(templates=templates), scale=9.0
    )
    assert found.classes == ("b green", "f red", "j sky_blue")
    images = model.embed_images([pair.picture for pair in dataset.split("test")]).double()
    scores = []
    for name in found.classes:
        texts = model.embed_texts([each.replace("{c}", name) for each in templates]).double()
        mean = texts.mean(0)
        scores.append(9 * images @ (mean / mean.norm()))
    chances = torch.stack(scores, 1).softmax(1)
    assert found.confidences.tolist() == pytest.approx(chances.amax(1).tolist(), abs=1e-5)
    assert found.predictions.tolist() == chances.argmax(1).tolist()
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert Suite(model, dataset).scale == pytest.approx(1 / 0.07)
    model.loss = None
    assert Suite(model, dataset).scale == 100
    named = Prompts(templates=["{c}"], names={"red": "tomato"})
    assert Suite(model, dataset).zero_shot(named).classes[1] == "tomato"
    with pytest.raises(
        DataError, match=r"class 'rad', which is not in the split 'test'. Did you mean"
    ):
        Suite(model, dataset).zero_shot(Prompts(templates=["{c}"], names={"rad": "x"}))


def test_texts_that_cancel_out():
    embeds = torch.tensor([[1.0, 0], [-1, 0]])
    with pytest.raises(DataError, match="row 0 of the embeddings of the classes is all zeros"):
        zero_shot(embeds, embeds.mean(0, keepdim=True), torch.tensor([0, 0]), ["it"])


def test_learnt_from_another_split(model, dataset):
    suite = Suite(model, dataset)
    assert suite.nearest_neighbours(k=4).accuracy() == 1
    assert suite.linear_probe().classification.accuracy() == 1
    assert suite.nearest_neighbours(k=4).classes == ("green", "red", "sky blue")
    strange = ImageTextDataset(
        "half", {"train": dataset.split("train")[:4], "test": dataset.split("test")}, "", ""
    )
    with pytest.raises(DataError, match="2 classes of the split 'test' are not in 'train', and"):
        Suite(model, strange).linear_probe()


def test_half_a_model(model, dataset):
    text, model.text_encoder = model.text_encoder, None
    suite = Suite(model, dataset)
    assert suite.nearest_neighbours(k=2).accuracy() == 1
    with pytest.raises(TowerError, match="retrieval takes both towers"):
        suite.retrieval()
    with pytest.raises(TowerError, match="this evaluation takes the text tower"):
        embed_texts(model, ["a"])
    model.text_encoder, model.image_encoder = text, None
    with pytest.raises(TowerError, match="this evaluation takes the image tower"):
        Suite(model, dataset).nearest_neighbours()
    assert class_embeds(model, ["a", "b"], Prompts(templates=["{c}"])).shape == (2, 8)
    assert not ForClipBenchmark(model).training


def colours_in(path):
    with Image.open(path) as image:
        return {colour for _, colour in image.convert("RGB").getcolors(1 << 24)}


def test_pictures_of_results(model, dataset, tmp_path):
    suite = Suite(model, dataset)
    pictures = [pair.picture for pair in suite.pairs]
    own = {colour for each in pictures for colour in colours_in(each)}
    hit, miss = (0x1A, 0x7F, 0x37), (0xCF, 0x22, 0x2E)
    embeds = torch.eye(9)
    path = tmp_path / "retrieval.png"

    def drawn(texts, **given):
        names = [f"caption {row} " * 20 for row in range(9)]
        return colours_in(
            draw_retrieval(embeds, texts, torch.arange(9), pictures, names, path, **given)
        )

    everything = drawn(embeds.roll(1, 0) + 0.5 * embeds, rows=9, columns=1)
    assert miss in everything
    assert hit not in everything
    assert own <= everything
    right = drawn(embeds, rows=9, columns=1)
    assert hit in right
    assert miss not in right
    half = embeds.clone()
    half[:5] = embeds[:5].roll(1, 0)
    assert {hit, miss} <= drawn(half, rows=2, columns=1)
    with pytest.raises(DataError, match="the number of rows is 1 or more, not 0"):
        drawn(embeds, rows=0)

    path = draw_similarity(embeds, embeds, pictures, suite.captions[::2], tmp_path / "s.png")
    assert {(9, 80, 160), (255, 255, 255)} | own <= colours_in(path)
    found = suite.nearest_neighbours(k=3)
    path = draw_confusion(found, tmp_path / "c.png")
    assert (9, 80, 160) in colours_in(path)
    few = draw_confusion(found, tmp_path / "few.png", most=2)
    with Image.open(few) as small, Image.open(path) as whole:
        assert small.width < whole.width
    with pytest.raises(DataError, match=r"c.jpg: the picture of confusion is a PNG"):
        draw_confusion(found, tmp_path / "c.jpg")
    with pytest.raises(DataError, match="there is no folder"):
        draw_similarity(embeds, embeds, pictures, suite.captions, tmp_path / "no" / "s.png")
