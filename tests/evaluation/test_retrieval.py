"""Recall against counting by hand."""

import pytest
import torch
import torch.nn.functional as F

from zoo.errors import DataError
from zoo.evaluation.retrieval import recall_at


def by_counting(queries, gallery, k):
    hits = 0
    for row, query in enumerate(queries):
        scores = [float(query @ other) for other in gallery]
        better = sum(score >= scores[row] for column, score in enumerate(scores) if column != row)
        hits += better < k
    return hits / len(queries)


def test_against_counting():
    torch.manual_seed(0)
    images = F.normalize(torch.randn(40, 6), dim=-1)
    texts = F.normalize(images + 0.7 * torch.randn(40, 6), dim=-1)
    recall = recall_at(images, texts)
    for k in (1, 5, 10):
        assert recall.image_to_text[k] == pytest.approx(by_counting(images, texts, k))
        assert recall.text_to_image[k] == pytest.approx(by_counting(texts, images, k))
    assert 0 < recall.image_to_text[1] < recall.image_to_text[10] < 1


def test_perfect_and_constant():
    perfect = recall_at(torch.eye(12), torch.eye(12))
    assert set(perfect.image_to_text.values()) == {1.0}
    constant = recall_at(torch.ones(12, 2), torch.ones(12, 2))
    assert set(constant.image_to_text.values()) == set(constant.text_to_image.values()) == {0.0}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_embeddings_that_are_not_finite(bad):
    embeds = torch.eye(3)
    embeds[1, 2] = bad
    with pytest.raises(DataError, match="hold NaN or infinity"):
        recall_at(embeds, torch.eye(3))
    with pytest.raises(DataError, match="hold NaN or infinity"):
        recall_at(torch.eye(3), embeds)
