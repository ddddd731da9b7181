"""Retrieval metrics against the definitions in float64, and against clip-benchmark."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from clip_benchmark.metrics import zeroshot_retrieval

from zoo.errors import DataError
from zoo.evaluation.bootstrap import Resampling
from zoo.evaluation.ranking import count_wrong
from zoo.evaluation.retrieval import recall_at, retrieval


def captioned(images=60, dim=24, noise=2.5, seed=0, most=4):
    """Pictures with one to `most` captions each, in no order."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(images, dim, generator=generator)
    sizes = torch.randint(1, most + 1, (images,), generator=generator)
    owner = torch.arange(images).repeat_interleave(sizes)
    owner = owner[torch.randperm(len(owner), generator=generator)]
    text = image[owner] + noise * torch.randn(len(owner), dim, generator=generator)
    return image, text, owner


def by_definition(image, text, owner, ks=(1, 5, 10)):
    """Each query's gallery sorted in full, in float64, what is wrong first among equals."""
    similarity = cosines(image, text)
    found = {}
    for way, table, right in (
        ("image_to_text", similarity, [np.flatnonzero(owner == i) for i in range(len(image))]),
        ("text_to_image", similarity.T, [np.array([i]) for i in owner.tolist()]),
    ):
        ranks, precisions = [], []
        for scores, answers in zip(table, right, strict=True):
            if not len(answers):
                continue
            is_right = np.isin(np.arange(len(scores)), answers)
            order = sorted(range(len(scores)), key=lambda j: (-scores[j], is_right[j]))
            places = [place for place, j in enumerate(order, 1) if is_right[j]]
            ranks.append(places[0])
            precisions.append(np.mean([n / place for n, place in enumerate(places, 1)]))
        found[way] = {f"recall@{k}": np.mean([rank <= k for rank in ranks]) for k in ks}
        found[way] |= {
            "mean_rank": np.mean(ranks),
            "median_rank": np.median(ranks),
            "map": np.mean(precisions),
        }
    return found


def cosines(image, text):
    image, text = image.double().numpy(), text.double().numpy()
    image = image / np.linalg.norm(image, axis=1, keepdims=True)
    text = text / np.linalg.norm(text, axis=1, keepdims=True)
    return (image @ text.T).round(9)  # what is equal but for rounding is a tie


def values(found, **given):
    few = Resampling(draws=2)
    return {
        way: {name: each.value for name, each in estimates.items()}
        for way, estimates in found.estimates(resampling=few, **given).items()
    }


class AsTheyAre:
    """A model whose pictures and tokens are embeddings already."""

    def encode_image(self, images):
        return images

    def encode_text(self, tokens):
        return tokens


def clip_benchmark(image, text, owner, ks=(1, 5, 10), batch=16):
    """clip-benchmark's own function; also the order in which it takes captions, picture by picture."""
    rows = {str(row): vector for row, vector in enumerate(text)}
    names = [
        [str(row) for row in (owner == i).nonzero().flatten().tolist()] for i in range(len(image))
    ]
    loader = [
        (image[start : start + batch], names[start : start + batch])
        for start in range(0, len(image), batch)
    ]
    return zeroshot_retrieval.evaluate(
        AsTheyAre(),
        loader,
        lambda texts: torch.stack([rows[each] for each in texts]),
        "cpu",
        amp=False,
        recall_k_list=list(ks),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("most", [1, 4])
def test_against_the_definitions(most, dtype):
    image, text, owner = captioned(most=most)
    found = values(retrieval(image.to(dtype), text.to(dtype), owner))
    expected = by_definition(image, text, owner)
    assert found == {way: pytest.approx(each, abs=1e-12) for way, each in expected.items()}
    assert 0.1 < expected["image_to_text"]["recall@1"] < expected["image_to_text"]["recall@5"] < 1


def test_blocks_do_not_matter(monkeypatch):
    image, text, owner = captioned()
    whole = count_wrong(image, text, owner)
    monkeypatch.setattr("zoo.evaluation.ranking._BLOCK", 7 * len(text))
    monkeypatch.setattr("zoo.evaluation.ranking._COLUMNS", 11)
    monkeypatch.setattr("zoo.evaluation.ranking._SUMMED", 3)
    kept = count_wrong(image, text, owner)
    monkeypatch.setattr("zoo.evaluation.ranking._KEPT", 0)
    again = count_wrong(image, text, owner)
    for one, other, third in zip(whole, kept, again, strict=True):
        assert one.tolist() == other.tolist() == third.tolist()
    assert max(whole[0]) > 20


def test_the_same_numbers_as_clip_benchmark():
    image, text, owner = captioned(images=200, seed=1)
    found = retrieval(image, text, owner)
    theirs = clip_benchmark(image, text, owner)
    for k in (1, 5, 10):
        # Theirs are means in float32.
        for ours, name in ((found.image_to_text, "text"), (found.text_to_image, "image")):
            peer = theirs[f"{name}_retrieval_recall@{k}"]
            assert round(peer * len(ours.ranks), 2) == (ours.ranks <= k).sum()
            assert ours.recall(k) == pytest.approx(peer, abs=1e-7)


def test_ties_lie_between_the_two_ways_to_count_them():
    generator = torch.Generator().manual_seed(2)
    image = torch.randint(0, 2, (80, 4), generator=generator).float() + 0.0
    image[image.sum(1) == 0, 0] = 1
    owner = torch.arange(80).repeat_interleave(2)
    text = image[owner.roll(3)]
    worst, best = (retrieval(image, text, owner, ties=ties) for ties in ("against", "for"))
    theirs = clip_benchmark(image, text, owner)
    for k in (1, 5, 10):
        for way, name in (("image_to_text", "text"), ("text_to_image", "image")):
            low, high = getattr(worst, way).recall(k), getattr(best, way).recall(k)
            assert low < high
            assert low <= theirs[f"{name}_retrieval_recall@{k}"] + 1e-6
            assert theirs[f"{name}_retrieval_recall@{k}"] <= high + 1e-6
    expected = by_definition(image, text, owner)
    assert values(worst) == {way: pytest.approx(each) for way, each in expected.items()}


@pytest.mark.parametrize(("images", "dim"), [(12, 2), (777, 300), (5, 64)])
def test_constant_embeddings_recall_nothing(images, dim):
    """Also where the shape of a product makes its sums differ in the last bits."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, dim, generator=generator).repeat(images, 1)
    text = torch.randn(1, dim, generator=generator).repeat(images, 1)
    found = retrieval(image, text)
    for direction in (found.image_to_text, found.text_to_image):
        assert set(direction.ranks.tolist()) == {images}
        assert direction.recall(images - 1) == 0
        assert direction.recall(images) == 1
    one_picture = retrieval(image, text[:1], torch.tensor([3]))
    assert one_picture.text_to_image.ranks.tolist() == [images]
    assert one_picture.image_to_text.ranks.tolist() == [1]
    for_it = retrieval(image, text, ties="for")
    assert set(for_it.image_to_text.ranks.tolist()) == {1}


def test_a_caption_that_two_pictures_have_is_right_for_its_own_alone():
    image = torch.eye(3)
    text = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 0, 1]])
    found = retrieval(image, text)
    # Picture 0 has caption 0, and caption 1 is as near.
    assert found.image_to_text.ranks.tolist() == [2, 3, 1]
    # The first pictures' caption is nearest to picture 0, which is right for the first one alone.
    assert found.text_to_image.ranks.tolist() == [1, 3, 1]
    twice = retrieval(image, torch.eye(3)[[0, 0, 1, 2]], torch.tensor([0, 0, 1, 2]))
    assert twice.image_to_text.precisions.tolist() == [1, 1, 1]


def test_pictures_without_captions_are_in_the_gallery_alone():
    image, text, owner = captioned(images=30)
    more = torch.cat([image, text[:20] + 0.01])
    found = retrieval(more, text, owner)
    alone = retrieval(image, text, owner)
    assert found.image_to_text.ranks.tolist() == alone.image_to_text.ranks.tolist()
    assert found.text_to_image.recall(1) < alone.text_to_image.recall(1)
    assert values(found)["text_to_image"] == pytest.approx(
        by_definition(more, text, owner)["text_to_image"]
    )


def test_one_picture_and_a_gallery_smaller_than_k():
    found = retrieval(
        torch.eye(1, 4), torch.tensor([[1.0, 1, 0, 0], [0, 1, 0, 0]]), torch.tensor([0, 0])
    )
    for estimates in found.estimates().values():
        for name, each in estimates.items():
            assert (each.value, each.low, each.high) == (1, None, None), name
    assert retrieval(torch.eye(3), torch.eye(3).roll(1, 0)).image_to_text.recall(10) == 1


def test_lengths_do_not_matter():
    image, text, owner = captioned()
    scaled = image * torch.linspace(0.01, 400, len(image))[:, None]
    assert values(retrieval(scaled, 7 * text, owner)) == values(retrieval(image, text, owner))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (float("nan"), "pictures hold NaN or infinity, .* 1 of 3 rows, the first is row 1"),
        (float("inf"), "hold NaN or infinity"),
        (0.0, "row 1 of the embeddings of the pictures is all zeros: no direction"),
    ],
)
def test_embeddings_without_direction(bad, said):
    embeds = torch.eye(3)
    embeds[1] = bad
    with pytest.raises(DataError, match=said):
        retrieval(embeds, torch.eye(3))
    with pytest.raises(DataError, match=said.replace("pictures", "captions")):
        recall_at(torch.eye(3), embeds)


def test_refusals():
    with pytest.raises(DataError, match="there are no captions to evaluate"):
        retrieval(torch.eye(3), torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
    with pytest.raises(DataError, match="3 pictures and 2 captions: say in text_image which"):
        retrieval(torch.eye(3), torch.eye(3)[:2])
    for owner in ([0, 3], [-1, 0]):
        with pytest.raises(
            DataError, match=r"belongs to picture (3|-1), and there are pictures 0 to 2"
        ):
            retrieval(torch.eye(3), torch.eye(3)[:2], torch.tensor(owner))
    with pytest.raises(DataError, match="recall is asked at k = 1 or more, not 0"):
        retrieval(torch.eye(3), torch.eye(3)).estimates(ks=(0,))


def test_recall_of_pairs():
    image, text, owner = captioned(most=1)
    recall = recall_at(image[owner], text)
    expected = by_definition(image[owner], text, np.arange(len(owner)))
    for k in (1, 5, 10):
        assert recall.image_to_text[k] == pytest.approx(expected["image_to_text"][f"recall@{k}"])
        assert recall.text_to_image[k] == pytest.approx(expected["text_to_image"][f"recall@{k}"])
    assert recall.count == len(owner)
    assert recall.as_json()["text_to_image"]["recall@5"] == recall.text_to_image[5]


def test_intervals_of_a_share_are_those_of_the_binomial():
    generator = torch.Generator().manual_seed(0)
    images, right = 400, 0.3
    image = F.normalize(torch.randn(images, 200, generator=generator), dim=1)
    text = torch.where(torch.rand(images, 1, generator=generator) < right, image, image.roll(1, 0))
    found = retrieval(image, text).estimates(resampling=Resampling(draws=4000))
    share = found["text_to_image"]["recall@1"]
    half = 1.96 * (share.value * (1 - share.value) / images) ** 0.5
    assert share.high - share.low == pytest.approx(2 * half, rel=0.08)
    assert share.low < share.value < share.high


def test_intervals_draw_pictures_with_their_captions():
    """Against drawing in a loop; each caption alone would give intervals half as wide."""
    images, each = 60, 5
    generator = torch.Generator().manual_seed(0)
    image = torch.eye(images)
    good = torch.rand(images, generator=generator) < 0.5
    owner = torch.arange(images).repeat_interleave(each)
    text = torch.where(good[owner, None], image[owner], image.roll(1, 0)[owner])
    text = text + 0.001 * torch.rand(text.shape, generator=generator)
    found = retrieval(image, text, owner).estimates(resampling=Resampling(draws=3000, level=0.9))
    hits, ranks = [], []
    random = np.random.default_rng(5)
    ranked = retrieval(image, text, owner).text_to_image.ranks.numpy().reshape(images, each)
    for _ in range(3000):
        drawn = ranked[random.integers(images, size=images)]
        hits.append((drawn <= 1).mean())
        ranks.append(np.median(drawn))
    for name, draws in (("recall@1", hits), ("median_rank", ranks)):
        estimate = found["text_to_image"][name]
        low, high = np.quantile(draws, [0.05, 0.95])
        assert (estimate.low, estimate.high) == (
            pytest.approx(low, abs=0.03),
            pytest.approx(high, abs=1.6),
        )
    width = found["text_to_image"]["recall@1"].high - found["text_to_image"]["recall@1"].low
    assert width > 1.8 * 2 * 1.645 * (0.25 / len(text)) ** 0.5


def test_a_seed_gives_the_same_intervals_again(monkeypatch):
    image, text, owner = captioned()
    found = retrieval(image, text, owner)
    one = found.estimates(resampling=Resampling(seed=3))
    assert found.estimates(resampling=Resampling(seed=3)) == one
    assert found.estimates(resampling=Resampling(seed=4)) != one
    wide = found.estimates(resampling=Resampling(level=0.99))["image_to_text"]["map"]
    narrow = found.estimates(resampling=Resampling(level=0.5))["image_to_text"]["map"]
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high
    with pytest.raises(DataError, match=r"the level of an interval is between 0 and 1, not 1\.5"):
        Resampling(level=1.5)
    with pytest.raises(DataError, match="the number of bootstrap draws is 2 or more, not 1"):
        Resampling(draws=1)


@pytest.mark.long
def test_memory_does_not_grow_with_the_gallery():
    """200,000 pictures of 512 numbers, 3,000 captions: 2.4 GB of similarities."""
    code = """
import pathlib, torch
from zoo.evaluation.retrieval import retrieval
def most():
    return int(pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
torch.manual_seed(0)
images = torch.randn(200_000, 512)
before = most()
found = retrieval(images, images[:3000] + torch.randn(3000, 512), torch.arange(3000))
assert found.text_to_image.recall(1) > 0.99
print(most() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 100_000 < int(done.stdout) < 600_000  # kilobytes
