"""Cells as they run: equal to a training by itself, kept, taken up again, and failing one by one."""

import json
from dataclasses import replace

import pytest
import torch

from zoo.assembly import plan
from zoo.comparison.cells import resolve_cells
from zoo.comparison.results import ResultFolder
from zoo.comparison.run import run_cells
from zoo.data.sources import open_dataset
from zoo.errors import DataError, SpecError
from zoo.evaluation.judge import Judge
from zoo.training.execution import set_seed
from zoo.training.loop import train

TWO = {"loss": ["info-nce", "siglip"]}
TOO_FAST = {"train.optimizer.learning_rate": 1e38, "train.optimizer.loss_learning_rate": 1e-3}


def test_a_cell_is_a_training_by_itself(grid, compared, data, base):
    _, results, _, _ = compared(grid(seeds=[0, 5], grid=TWO))
    changes = {"train.epochs": 2, "train.batch_size": 8, "train.workers": 0, "train.seed": 5}
    planned = plan(str(base), overrides={**changes, "loss": "siglip"})
    dataset = open_dataset(data)
    set_seed(5)
    model = planned.build()
    train(model, dataset.split("train"))
    for split in ("validation", "test"):
        found = Judge(model, dataset.split(split)).retrieval()
        assert results[3].ranks[split].image_to_text == found.image_to_text.ranks.tolist()
        assert results[3].ranks[split].text_to_image == found.text_to_image.ranks.tolist()
    cost = results[3].cost
    assert cost.parameters == sum(each.numel() for each in model.parameters())
    assert cost.trainable == 3 * 4 + 2  # the head, and temperature and bias
    assert cost.gflop_per_picture == (3 * 3 + 3 * 4) / 1e9
    assert cost.steps == 2 * 3
    assert 0 < cost.train_seconds < cost.seconds
    assert cost.pairs_per_second == pytest.approx(8 * cost.steps / cost.train_seconds)
    assert results[3].spec["train"]["seed"] == 5
    assert results[0].ranks != results[1].ranks


def test_pairs_a_second_are_of_pairs_that_trained(grid, data, tmp_path):
    """With two pictures of each concept a step draws one of them, and no batch has more."""
    cells = resolve_cells(grid(variation=[{"name": "it"}], train={"batch_size": 24}))
    dataset = open_dataset(data)
    twins = [
        replace(pair, concept=f"{number // 2}")
        for number, pair in enumerate(dataset.splits["train"])
    ]
    dataset = replace(dataset, splits={**dataset.splits, "train": twins})
    (result,) = run_cells(cells, dataset, ResultFolder(tmp_path / "cells"))
    cost = result.cost
    assert cost.steps == 2
    assert cost.pairs_per_second == pytest.approx(12 * cost.steps / cost.train_seconds)


def test_only_what_is_missing_runs(grid, compared, tmp_path):
    _, first, summary, ran = compared(grid(seeds=[0, 1], grid=TWO))
    assert ran == [0, 1, 2, 3]
    _, again, same, ran = compared(grid(seeds=[0, 1], grid=TWO))
    assert (ran, again, same) == ([], first, summary)
    _, again, _, ran = compared(grid(seeds=[0, 1], grid=TWO, train={"workers": 1, "log_every": 1}))
    assert (ran, again) == ([], first)
    (tmp_path / "out" / "cells" / f"{first[2].key}.json").unlink()
    (tmp_path / "out" / "cells" / f"{first[1].key}.json").write_text('{"format": 1, "key": "')
    _, again, _, ran = compared(grid(seeds=[0, 1], grid=TWO))
    assert ran == [1, 2]
    assert [each.ranks for each in again] == [each.ranks for each in first]


def test_a_changed_grid_takes_over_equal_cells(grid, compared):
    compared(grid(seeds=[0, 1], grid=TWO))
    changed = {"loss": ["decoupled", {"label": "sigmoid", "set": {"loss": "siglip"}}]}
    cells, _, summary, ran = compared(grid(seeds=[1, 2], grid=changed))
    assert [cells[number].name for number in ran] == [
        "decoupled, seed 1",
        "decoupled, seed 2",
        "sigmoid, seed 2",
    ]
    assert {each.name for each in summary.entries} == {"decoupled", "sigmoid"}
    _, _, _, ran = compared(grid(seeds=[1, 2], grid=changed, train={"epochs": 3}))
    assert len(ran) == 4


def test_other_data_is_another_cell(grid, compared, data):
    compared(grid(grid=TWO))
    text = (data / "metadata.csv").read_text()
    (data / "metadata.csv").write_text(text.replace("train3.png,ddd", "train3.png,eee"))
    _, _, _, ran = compared(grid(grid=TWO))
    assert ran == [0, 1]


def test_equal_cells_run_once(grid, compared):
    twice = [{"label": name, "set": {"loss": "siglip"}} for name in ("one", "other")]
    _, results, summary, ran = compared(grid(seeds=[0, 1], grid={"loss": twice}))
    assert ran == [0, 1]
    assert results[:2] == results[2:]
    assert summary.entries[1].difference.interval.value == 0.0
    assert summary.entries[1].difference.p == summary.entries[1].difference.corrected == 1.0
    assert summary.seconds == pytest.approx(sum(each.cost.seconds for each in results[:2]))


def test_stopping_loses_nothing_that_is_finished(grid, compared):
    def stop(number, result):
        if number == 2 and result is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compared(grid(seeds=[0, 1], grid=TWO), watch=stop)
    _, _, summary, ran = compared(grid(seeds=[0, 1], grid=TWO))
    assert ran == [2, 3]
    assert [len(each.seeds) for each in summary.entries] == [2, 2]


def test_a_failing_cell_does_not_stop_the_others_and_is_tried_again(grid, compared):
    varied = [
        {"name": "does not fit", "set": {"image.head": "identity"}},
        {"name": "no number", "set": TOO_FAST},
        {"name": "fine"},
    ]
    _, results, summary, ran = compared(grid(variation=varied))
    assert [each.failed for each in results] == [True, True, False]
    assert "identity" in results[0].error
    assert results[1].error.startswith("step ")
    assert "the loss is nan; a lower learning rate than 1e+38 may help" in results[1].error
    assert results[1].traceback is None
    assert [(each.name, each.seed) for each in summary.failed] == [
        ("does not fit", 0),
        ("no number", 0),
    ]
    assert [each.name for each in summary.entries] == ["fine"]
    _, _, _, ran = compared(grid(variation=varied))
    assert ran == [0, 1]


def test_a_fault_of_a_component_is_recorded_with_where_it_was(grid, compared, monkeypatch):
    import zoo_tiny

    def broken(self, images):
        raise RuntimeError("out of luck\nand more")

    monkeypatch.setattr(zoo_tiny.TinyImage, "forward", broken)
    _, results, summary, _ = compared(grid(grid=TWO))
    assert [each.error for each in results] == ["RuntimeError: out of luck"] * 2
    assert "raise RuntimeError" in results[0].traceback
    assert (summary.entries, summary.axes, len(summary.failed)) == ([], {}, 2)


def test_embeddings_without_a_number_fail_the_cell(grid, compared, monkeypatch):
    import zoo.comparison.run as module

    def spoiled(model, *args, **kwargs):
        train(model, *args, **kwargs)
        with torch.no_grad():
            model.image_encoder.head.proj.weight.fill_(float("nan"))

    monkeypatch.setattr(module, "train", spoiled)
    _, results, _, _ = compared(grid(variation=[{"name": "spoiled"}]))
    assert "the embeddings of the pictures hold NaN" in results[0].error
    json.loads(results[0].model_dump_json())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"grid": {"image.head": ["linear", "linaer"]}}, r"1 of 2 .*\nlinaer: .*mean 'linear'"),
        ({"grid": {"image.head.args.bais": [1]}}, r"1: image.head.args.bais \(variation '1'\)"),
        ({"grid": {"train.optimizer": ["sgd", "adamv"]}}, r"adamv: .*no optimizer 'adamv'.*mean"),
        ({"grid": {"train.epochs": [0]}}, r"0: train.epochs \(variation '0'\): input should be"),
        ({"grid": {"train.seed": [0, 1]}}, r"seeds are not varied like this; list them in seeds"),
        (
            {"grid": TWO, "train": {"stream": True, "sampling": "pair"}},
            "train.stream: a comparison holds its data in memory; leave it out",
        ),
        (
            {"grid": TWO, "train": {"splits": ["train", "validation"]}},
            "train.splits: 'validation' ranks the models, and may not train them",
        ),
        (
            {"grid": {"train.evaluation.split": ["validation", "other"]}},
            "a grid: train.evaluation.split ranks the models, and is one for all of them, not 'other' "
            "and 'validation'",
        ),
        (
            {"grid": TWO, "train": {"evaluation": {"split": "test"}}},
            "evaluation.split: what is reported of the test split holds if it chooses nothing",
        ),
        (
            {"grid": TWO, "train": {"checkpoint": {"save": "best"}}},
            'train.checkpoint.save: a cell gives the model it ends with; set it to "last"',
        ),
        ({"grid": TWO, "train": {"epoch": 1}}, r"train.epoch \(a grid, \[train\]\): unknown key"),
        ({"grid": TWO, "set": {"image.hed": 1}}, r"image.hed \(a grid, set\): unknown key 'hed'"),
        ({"grid": {"loss": [f"x{each}" for each in range(9)]}}, r"9 of 9 .*(\nx.*)+\nand 4 more$"),
    ],
)
def test_nothing_starts_while_a_cell_is_not_valid(grid, data, given, said):
    with pytest.raises(SpecError, match=said):
        resolve_cells(grid(**given), "a grid")


def test_trackers_are_told_nothing(grid, compared):
    _, results, _, _ = compared(
        grid(variation=[{"name": "it"}], train={"trackers": ["tensorboard"]})
    )
    assert [each.error for each in results] == [None]
    _, _, _, ran = compared(grid(variation=[{"name": "it"}]))
    assert ran == []


def test_a_picture_that_cannot_be_read_is_left_out_of_every_cell(grid, compared, data):
    (data / "validation3.png").write_bytes(b"no picture")
    few = {"unreadable": 0.01}
    _, results, _, _ = compared(grid(grid=TWO, train=few))
    assert all("validation3.png" in each.error for each in results)
    _, results, summary, _ = compared(grid(grid=TWO, train={"unreadable": 0.5}))
    assert summary.failed == []
    assert summary.concepts == {"validation": 6, "test": 9}
    assert {len(each.ranks["validation"].text_to_image) for each in results} == {6}


def test_a_split_that_is_not_there(grid, data, tmp_path):
    cells = resolve_cells(grid(grid=TWO, train={"evaluation": {"split": "valid"}}))
    with pytest.raises(DataError, match="no split 'valid'"):
        run_cells(cells, open_dataset(data), ResultFolder(tmp_path / "cells"))
    assert list((tmp_path / "cells").iterdir()) == []


def test_a_device_that_is_not_here_is_an_error_before_any_cell(grid, data, tmp_path):
    cells, results = resolve_cells(grid(grid=TWO)), ResultFolder(tmp_path / "cells")
    with pytest.raises(SpecError, match="the device 'toaster' cannot be used here"):
        run_cells(cells, open_dataset(data), results, device="toaster")
