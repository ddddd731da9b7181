"""Classification metrics against the definitions, scikit-learn and clip-benchmark."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import balanced_accuracy_score, classification_report, confusion_matrix

from zoo.errors import DataError
from zoo.evaluation.bootstrap import Resampling
from zoo.evaluation.classification import classification
from zoo.evaluation.zero_shot import zero_shot

NAMES = [f"class {number}" for number in range(7)]


def data(pictures=300, dim=16, noise=2.5):
    generator = torch.Generator().manual_seed(0)
    classes = torch.randn(len(NAMES), dim, generator=generator)
    labels = torch.randint(0, len(NAMES), (pictures,), generator=generator)
    images = classes[labels] + noise * torch.randn(pictures, dim, generator=generator)
    return images, classes, labels


class AsTheyAre:
    def encode_image(self, images):
        return images

    def encode_text(self, tokens):
        return tokens


class Loader(list):
    @property
    def dataset(self):
        return self

    classes = NAMES


def test_the_same_numbers_as_clip_benchmark(peer_classification):
    images, classes, labels = data()
    found = zero_shot(images, classes, labels, NAMES)
    rows = dict(zip(NAMES, classes, strict=True))
    theirs = peer_classification.evaluate(
        AsTheyAre(),
        Loader(
            (images[start : start + 32], labels[start : start + 32]) for start in range(0, 300, 32)
        ),
        lambda texts: torch.stack([rows[each] for each in texts]),
        NAMES,
        ["{c}"],
        "cpu",
        amp=False,
    )
    assert found.accuracy(1) == pytest.approx(theirs["acc1"], abs=1e-12)
    assert found.accuracy(5) == pytest.approx(theirs["acc5"], abs=1e-12)
    recall = found.estimates()["mean_per_class_recall"].value
    assert recall == pytest.approx(theirs["mean_per_class_recall"], abs=1e-12)
    assert 0.5 < found.accuracy(1) < found.accuracy(5) < 1


def test_against_the_definitions_and_scikit_learn(monkeypatch):
    monkeypatch.setattr("zoo.evaluation.zero_shot._BLOCK", 23)
    images, classes, labels = data()
    found = zero_shot(images, classes, labels, NAMES, scale=20.0)
    one, other = (
        each.double().numpy() / np.linalg.norm(each.double().numpy(), axis=1, keepdims=True)
        for each in (images, classes)
    )
    scores = 20 * one @ other.T
    chosen, truth = scores.argmax(1), labels.numpy()
    assert found.predictions.tolist() == chosen.tolist()
    assert found.confusion().tolist() == confusion_matrix(truth, chosen).tolist()
    report = classification_report(truth, chosen, target_names=NAMES, output_dict=True)
    for said in found.per_class():
        assert said["recall"] == pytest.approx(report[said["class"]]["recall"])
        assert said["precision"] == pytest.approx(report[said["class"]]["precision"])
        assert said["pictures"] == report[said["class"]]["support"]
    wrong = confusion_matrix(truth, chosen) * (1 - np.eye(len(NAMES), dtype=int))
    assert found.per_class()[2]["taken_for"] == NAMES[wrong[2].argmax()]

    chances = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    confidence, error = chances.max(1), 0.0
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15)
        if inside.any():
            gap = abs((chosen == truth)[inside].mean() - confidence[inside].mean())
            error += inside.mean() * gap
    found_error = found.estimates()["ece"].value
    assert found_error == pytest.approx(error, abs=1e-6)
    assert found_error > 0.02
    balanced = found.estimates()["mean_per_class_recall"].value
    assert balanced == pytest.approx(balanced_accuracy_score(truth, chosen))


def test_intervals_against_drawing_in_a_loop():
    images, classes, labels = data(pictures=90)
    found = zero_shot(images, classes, labels, NAMES, scale=20.0)
    estimates = found.estimates(resampling=Resampling(draws=3000, level=0.9))
    random, draws = np.random.default_rng(1), []
    hits = (found.ranks == 1).numpy()
    confidence = found.confidences.numpy()
    for _ in range(3000):
        rows = random.integers(90, size=90)
        right, sure, truth = hits[rows], confidence[rows], labels.numpy()[rows]
        weight = 1 / np.bincount(labels.numpy())[truth]
        bins = np.ceil(sure * 15)
        error = sum(
            (bins == each).mean() * abs(right[bins == each].mean() - sure[bins == each].mean())
            for each in np.unique(bins)
        )
        draws.append((right.mean(), np.average(right, weights=weight), error))
    ends = np.quantile(draws, [0.05, 0.95], axis=0)
    for name, low, high in zip(("accuracy@1", "mean_per_class_recall", "ece"), *ends, strict=True):
        assert estimates[name].low == pytest.approx(low, abs=0.012), name
        assert estimates[name].high == pytest.approx(high, abs=0.012), name
        assert high - low > 0.03


def test_equal_classes_count_against_the_model():
    images = F.normalize(torch.randn(50, 300, generator=torch.Generator().manual_seed(0)), dim=1)
    same = torch.randn(1, 300, generator=torch.Generator().manual_seed(1)).repeat(7, 1)
    labels = torch.arange(50) % 7
    found = zero_shot(images, same, labels, NAMES)
    assert set(found.ranks.tolist()) == {7}
    assert found.confusion().diagonal().sum() == 0
    assert found.accuracy(7) == 1
    two = zero_shot(
        images, torch.cat([same[:1], images[:1], images[:1]]), labels % 1 + 1, NAMES[:3]
    )
    assert two.ranks[0] == 2


def test_one_picture_one_class_and_classes_without_pictures():
    alone = zero_shot(torch.ones(1, 4), torch.ones(1, 4), torch.tensor([0]), ["it"])
    assert {each.value for each in alone.estimates().values()} == {
        1.0,
        0.0,
    }  # no error of calibration
    assert alone.estimates()["accuracy@1"].low is None
    found = zero_shot(torch.eye(4)[:2], torch.eye(4), torch.tensor([0, 2]), list("abcd"))
    said = found.per_class()
    assert [each["recall"] for each in said] == [1, None, 0, None]
    assert [each["precision"] for each in said] == [1, 0, None, None]
    assert said[2]["taken_for"] == "b"
    assert found.estimates()["mean_per_class_recall"].value == 0.5


def test_refusals():
    labels = torch.tensor([0, 1])
    with pytest.raises(DataError, match="the embeddings of the classes hold NaN or infinity"):
        zero_shot(torch.eye(2), torch.full((2, 2), torch.nan), labels, ["a", "b"])
    with pytest.raises(DataError, match="row 0 of the embeddings of the pictures is all zeros"):
        zero_shot(torch.zeros(2, 2), torch.eye(2), labels, ["a", "b"])
    with pytest.raises(DataError, match="a label is not a number from 0 to 1"):
        zero_shot(torch.eye(2), torch.eye(2), labels + 1, ["a", "b"])
    with pytest.raises(DataError, match="the scale of a softmax is more than 0, not 0"):
        zero_shot(torch.eye(2), torch.eye(2), labels, ["a", "b"], scale=0.0)
    with pytest.raises(DataError, match="there are no pictures to evaluate"):
        zero_shot(torch.zeros(0, 2), torch.eye(2), labels[:0], ["a", "b"])
    with pytest.raises(DataError, match="accuracy is asked at k = 1 or more, not 0"):
        zero_shot(torch.eye(2), torch.eye(2), labels, ["a", "b"]).accuracy(0)
    with pytest.raises(DataError, match="the scores of classes hold NaN or infinity"):
        classification([torch.full((2, 2), torch.nan)], labels, ["a", "b"], width=0.0)
    with pytest.raises(DataError, match="scores of 1 pictures, and labels of 2"):
        classification([torch.eye(2)[:1]], labels, ["a", "b"], width=0.0)
    with pytest.raises(DataError, match="2 pictures and 0 classes: nothing to classify"):
        classification([], labels, [], width=0.0)
