"""Linear probe and k-NN against scikit-learn."""

import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from zoo.errors import DataError, MissingExtraError
from zoo.evaluation.neighbours import nearest_neighbours
from zoo.evaluation.probe import linear_probe

NAMES = ["a", "b", "c"]


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(3, 12, generator=generator)
    labels = torch.arange(120) % 3
    embeds = centres[labels] + 2.2 * torch.randn(120, 12, generator=generator)
    return embeds[:75], labels[:75], embeds[75:], labels[75:]


def test_neighbours_against_scikit_learn(data, monkeypatch):
    monkeypatch.setattr("zoo.evaluation.neighbours._BLOCK", 75 * 7)
    train, train_labels, test, labels = data
    peer = KNeighborsClassifier(
        9, metric="cosine", algorithm="brute", weights=lambda far: np.exp((1 - far) / 0.07)
    ).fit(train.double().numpy(), train_labels.numpy())
    found = nearest_neighbours(train, train_labels, test, labels, NAMES, k=9)
    theirs = peer.predict(test.double().numpy())
    assert found.predictions.tolist() == theirs.tolist()
    assert found.accuracy() == (theirs == labels.numpy()).mean()
    assert 0.5 < found.accuracy() < 1
    sure = peer.predict_proba(test.double().numpy()).max(1)
    assert found.confidences.numpy() == pytest.approx(sure, abs=1e-4)


def test_neighbours_that_tie():
    """As near as the k-th: all vote, in whatever order they come."""
    train = torch.eye(4)[[0, 0, 0, 1]]
    found = nearest_neighbours(
        train, torch.tensor([0, 1, 1, 2]), torch.eye(4)[:1], torch.tensor([1]), NAMES, k=1
    )
    assert found.ranks.tolist() == [1]
    even = nearest_neighbours(
        train[1:], torch.tensor([0, 1, 2]), torch.eye(4)[:1], torch.tensor([1]), NAMES, k=1
    )
    assert even.ranks.tolist() == [2]
    with pytest.raises(DataError, match="from 1 to the 3 training pictures, not 4"):
        nearest_neighbours(train[1:], torch.arange(3), train[:1], torch.tensor([1]), NAMES, k=4)


def test_probe_against_scikit_learn(data):
    train, train_labels, test, labels = data
    found = linear_probe(train, train_labels, test, labels, NAMES, c=3.0)
    peer = LogisticRegression(C=3.0, max_iter=5000, tol=1e-8)
    peer.fit(F.normalize(train.double(), dim=1).numpy(), train_labels.numpy())
    chances = peer.predict_proba(F.normalize(test.double(), dim=1).numpy())
    assert found.classification.predictions.tolist() == chances.argmax(1).tolist()
    assert found.classification.confidences.numpy() == pytest.approx(chances.max(1), abs=5e-3)
    assert found.converged
    assert not linear_probe(train, train_labels, test, labels, NAMES, c=1e5, steps=2).converged


def test_probe_chooses_its_penalty(data):
    """The choice reads training pictures alone, and is the best of its folds."""
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    train, train_labels, test, labels = data
    found = linear_probe(train, train_labels, test, labels, NAMES)
    assert linear_probe(train, train_labels, test.flip(0), labels, NAMES).c == found.c
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    rows = F.normalize(train.double(), dim=1).numpy()
    score = {
        c: cross_val_score(
            LogisticRegression(C=c, max_iter=3000), rows, train_labels.numpy(), cv=folds
        ).mean()
        for c in (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
    }
    assert score[found.c] == max(score.values())
    assert score[found.c] > min(score.values())


def test_refusals(data, monkeypatch):
    train, train_labels, test, labels = data
    with pytest.raises(DataError, match="class 'c' has 0 training pictures, and this takes 3 of"):
        linear_probe(train, train_labels.clamp(max=1), test, labels, NAMES)
    with pytest.raises(
        DataError, match="class 'c' has 0 training pictures, and this takes 1 of each"
    ):
        linear_probe(train, train_labels.clamp(max=1), test, labels, NAMES, c=1.0)
    with pytest.raises(DataError, match="the probe's c is more than 0, not -1"):
        linear_probe(train, train_labels, test, labels, NAMES, c=-1.0)
    with pytest.raises(DataError, match="a probe tells classes apart, and there are 1"):
        linear_probe(train, train_labels * 0, test, labels * 0, ["a"])
    with pytest.raises(DataError, match="training pictures hold NaN or infinity"):
        linear_probe(train * torch.nan, train_labels, test, labels, NAMES)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'clip-zoo\[eval\]'"):
        linear_probe(train, train_labels, test, labels, NAMES)
