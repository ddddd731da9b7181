"""The ranking: which split decides, what is compared, and what is said of it."""

import numpy as np
import pytest
import torch

from zoo.comparison.cells import resolve_cells
from zoo.comparison.markdown import to_markdown
from zoo.comparison.metric import Metric
from zoo.comparison.page import to_html
from zoo.comparison.ranking import summarise
from zoo.comparison.results import Cost, Ranks, Result
from zoo.comparison.statistics import difference, sign_flip_p
from zoo.comparison.summary import Summary
from zoo.errors import DataError, SpecError

GRID = {"loss": ["info-nce", "siglip"], "image.head": ["linear", "mlp-gelu"]}
SAID = {"name": "colours", "licence": "none", "attribution": "ours"}


@pytest.fixture
def made(grid, data):
    """Four variations of two seeds with ranks by chance; what is last in validation is first in test."""
    cells = resolve_cells(grid(seeds=[0, 1], grid=GRID))
    random = np.random.default_rng(0)
    results = []
    for number, cell in enumerate(cells):
        hits = {"validation": 0.2 + 0.1 * (number // 2), "test": 0.8 - 0.1 * (number // 2)}
        ranks = {
            split: Ranks(
                **{
                    way: (1 + (random.random(60) > share) * random.integers(1, 9, 60)).tolist()
                    for way in ("image_to_text", "text_to_image")
                }
            )
            for split, share in hits.items()
        }
        cost = Cost(
            trainable=10 * (number // 2 + 1),
            parameters=132,
            steps=4,
            train_seconds=1.0 + number,
            pairs_per_second=8.0,
            gflop_per_picture=1e-8,
            seconds=2.0 + number,
        )
        said = {"variation": cell.variation.name, "seed": cell.seed, "spec": {}, "computed": {}}
        results.append(Result(key=f"{number}", **said, ranks=ranks, loss=1.0, cost=cost))
    return cells, results


def shares(results, split, k=1, way="image_to_text"):
    """Hits, `(variations, seeds, concepts)`."""
    hits = [np.array(getattr(each.ranks[split], way)) <= k for each in results]
    return np.array(hits).reshape(4, 2, -1).astype(float)


def test_validation_ranks_and_test_is_reported(made):
    cells, results = made
    found = summarise(cells, results, base="tiny", data=SAID)
    validation, test = shares(results, "validation"), shares(results, "test")
    order = np.argsort(-validation.mean((1, 2)))
    names = [cells[2 * number].variation.name for number in order]
    assert [each.name for each in found.entries] == names
    assert test.mean((1, 2))[order[0]] < test.mean((1, 2)).max()  # it would not be first by test
    assert found.concepts == {"validation": 60, "test": 60}
    for place, number in enumerate(order):
        entry = found.entries[place]
        for split, hits in (("validation", validation), ("test", test)):
            spread = entry.metrics[split]["image_to_text.recall@1"]
            assert spread.values == pytest.approx(hits[number].mean(1))
            assert spread.mean == pytest.approx(hits[number].mean())
            assert spread.sd == pytest.approx(hits[number].mean(1).std(ddof=1))
        rank = np.array([each.ranks["test"].text_to_image for each in results])
        rank = rank.reshape(4, 2, -1)[number]
        metrics = entry.metrics["test"]
        assert metrics["text_to_image.map"].mean == pytest.approx((1 / rank).mean())
        assert metrics["text_to_image.recall@5"].mean == pytest.approx((rank <= 5).mean())
        assert entry.test.low < entry.test.value < entry.test.high
        assert entry.trainable == 10 * (number + 1)
        assert entry.train_seconds == 1.5 + 2 * number  # the mean of its two seeds
    assert found.entries[0].difference is None


def test_differences_are_to_the_first_on_the_test_split(made):
    cells, results = made
    found = summarise(cells, results, base="tiny", data=SAID)
    test = shares(results, "test")
    order = np.argsort(-shares(results, "validation").mean((1, 2)))
    best, *others = test[order].mean(1)
    p = [sign_flip_p(torch.tensor(each - best)) for each in others]
    for entry, each, expected in zip(found.entries[1:], others, p, strict=True):
        assert entry.difference.interval.value == pytest.approx((each - best).mean())
        assert entry.difference.p == expected
        assert entry.difference.corrected >= expected
    assert min(each.difference.corrected for each in found.entries[1:]) == pytest.approx(
        min(1.0, 3 * min(p))
    )


def test_an_axis_is_averaged_over_the_others(made):
    cells, results = made
    found = summarise(cells, results, base="tiny", data=SAID)
    validation, test = shares(results, "validation"), shares(results, "test")
    losses = {"info-nce": [0, 1], "siglip": [2, 3]}
    by_loss = {each.value: each for each in found.axes["loss"]}
    assert found.axes["loss"][0].value == "siglip"
    for name, rows in losses.items():
        assert by_loss[name].validation == pytest.approx(validation[rows].mean())
        assert by_loss[name].test == pytest.approx(test[rows].mean())
        assert by_loss[name].variations == 2
    gap = torch.tensor(test[[0, 1]].mean((0, 1)) - test[[2, 3]].mean((0, 1)))
    assert by_loss["info-nce"].difference.p == sign_flip_p(gap)
    hits, ranked = torch.tensor(test), np.argsort(-validation.mean((1, 2)))
    heads = list(dict.fromkeys(int(number) % 2 for number in ranked))
    expected = difference([hits[head] for head in heads], [hits[2 + head] for head in heads])
    interval = by_loss["info-nce"].difference.interval
    assert interval.value == pytest.approx(expected.value)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_an_axis_leaves_out_combinations_that_are_not_whole(made):
    cells, results = made
    failed = results[0].model_copy(update={"ranks": None, "cost": None, "error": "no"})
    gone = [failed, failed.model_copy(update={"seed": 1}), *results[2:]]
    found = summarise(cells, gone, base="tiny", data=SAID)
    assert [each.name for each in found.failed] == ["info-nce, linear"] * 2
    assert {each.variations for each in found.axes["loss"]} == {1}
    test = shares(results, "test")
    assert {each.value: each.test for each in found.axes["loss"]} == pytest.approx(
        {"info-nce": test[1].mean(), "siglip": test[3].mean()}
    )


def test_a_variation_with_a_seed_that_failed_ranks_last(made):
    cells, results = made
    best = int(shares(results, "validation").mean((1, 2)).argmax())
    failed = results[2 * best].model_copy(update={"ranks": None, "cost": None, "error": "no"})
    gone = [*results[: 2 * best], failed, *results[2 * best + 1 :]]
    found = summarise(cells, gone, base="tiny", data=SAID)
    *_, entry = found.entries
    assert entry.name == cells[2 * best].variation.name
    assert (entry.seeds, entry.failed) == ([1], [0])
    assert entry.metrics["test"]["image_to_text.recall@1"].sd is None
    assert entry.metrics["validation"]["image_to_text.recall@1"].mean > max(
        each.metrics["validation"]["image_to_text.recall@1"].mean for each in found.entries[:-1]
    )
    assert f"| 4 | {entry.name} | 1 of 2 |" in to_markdown(found)
    assert "models with a failed seed rank last" in to_markdown(found)
    assert "1\u00a0of\u00a02" in to_html(found, cells)


def test_cells_judged_on_different_concepts_are_not_compared(made):
    cells, results = made
    kept = results[0].ranks["test"].image_to_text[1:]
    fewer = Ranks(image_to_text=kept, text_to_image=kept)
    odd = results[0].model_copy(update={"ranks": {**results[0].ranks, "test": fewer}})
    with pytest.raises(
        DataError,
        match=r"concepts of the test split: .*linear, seed 0 on 59 \(0.json\), .* on 60 \(",
    ):
        summarise(cells, [odd, *results[1:]], base="tiny", data=SAID)


def test_one_seed_and_one_cell(grid, compared):
    cells, _, summary, _ = compared(grid(variation=[{"name": "alone"}]))
    (entry,) = summary.entries
    assert entry.metrics["validation"]["image_to_text.recall@1"].sd is None
    assert (entry.difference, summary.axes) == (None, {})
    assert "±" not in to_markdown(summary).splitlines()[2]
    assert "corrected for 0 comparisons" in to_markdown(summary)
    assert "alone" in to_html(summary, cells)


@pytest.mark.parametrize("said", ["recall@1", "image_to_text.recall@0", "map", "image_to_text.mrr"])
def test_metrics_that_there_are_not(said):
    with pytest.raises(SpecError, match=r"none of image_to_text.recall@K, image_to_text.map"):
        Metric.of(said)


def test_written_and_read_again(made):
    cells, results = made
    found = summarise(cells, results, base="tiny", data=SAID, metric="text_to_image.recall@5")
    assert Summary.model_validate_json(found.model_dump_json()) == found
    text = to_markdown(found)
    assert text.splitlines()[0].startswith("| # | model | seeds | validation | test |")
    assert text.count("\n| ") == 1 + 4 + 2 * 3 - 1
    assert "text→image recall@5" in text
    assert "60 validation and 60 test concepts" in text


def test_the_page_has_everything_and_asks_for_nothing(made):
    cells, results = made
    failed = results[0].model_copy(
        update={"ranks": None, "cost": None, "error": "<script>alert(1)</script>"}
    )
    page = to_html(summarise(cells, [failed, *results[1:]], base="tiny", data=SAID), cells)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert not any(each in page for each in ('src="http', 'href="http', "url(http", "@import"))
    assert page.count("<svg") >= 2
    for name in ("info-nce, mlp-gelu", "siglip, linear"):
        assert name in page
    assert page.count("&#34;embedding_dim&#34;: 4") == 4
