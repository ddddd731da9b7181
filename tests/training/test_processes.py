"""Several processes make the steps of one: the same gradients, statistics, weights and losses."""

import pytest
import torch
from together import (
    failing,
    in_process,
    precisions,
    refused,
    resumed,
    run,
    step,
    taken,
)

from zoo.losses import zoo_losses
from zoo.testing import elsewhere
from zoo.training.order import Order

FROZEN_NORMS = {"batch_norm": "frozen"}
ONE_WAY = {"loss": {"name": "info-nce", "args": {"only_image_to_text": True}}}
CASES = {
    # 11 rows: shares of 5 and 6, or of 3, 4 and 4; live batch norms, unless something else is said
    "info-nce": {"changes": {"loss": {"name": "info-nce", "args": {"label_smoothing": 0.1}}}},
    "timm's batch norms": {"encoder": "timm/test_resnet"},
    "siglip": {"changes": {"loss": "siglip"}},
    "decoupled": {"changes": {"loss": "decoupled"}},
    "hard-negative": {"changes": {"loss": {"name": "hard-negative", "args": {"tau_plus": 0.01}}}},
    "distillation": {"changes": {"loss": "distillation"}, "teacher": True},
    "plain": {"changes": {"loss": "plain"}},
    "clipped": {"recipe": {"optimizer": {"learning_rate": 1e-3, "clip_norm": 0.1}}},
    "heads": {"train": ("head", "head"), "changes": {"text.head": "linear"}},
    "one text tower": {"train": ("frozen", "full"), "changes": {"loss": "siglip"}},
    "parts": {"recipe": {"accumulation": 3, **FROZEN_NORMS}},
    "parts, plain": {"changes": {"loss": "plain"}, "recipe": {"accumulation": 2, **FROZEN_NORMS}},
    "parts, a sum over images": {
        "train": ("full", "head"),
        "changes": {"loss": "siglip", "text.head": "linear"},
        "recipe": {"accumulation": 2, **FROZEN_NORMS},
    },
    "more parts than rows": {
        "train": ("full", "head"),
        "changes": {"loss": "siglip", "text.head": "linear"},
        "recipe": {"batch_size": 5, "accumulation": 4, **FROZEN_NORMS},
    },
    "more parts than rows, cached": {
        "recipe": {"batch_size": 5, "accumulation": 4, **FROZEN_NORMS}
    },
    "parts, one way": {
        "train": ("full", "frozen"),
        "changes": ONE_WAY,
        "recipe": {"accumulation": 3, **FROZEN_NORMS},
    },
}
SHARDED = ("timm's batch norms", "siglip", "plain", "clipped", "parts", "parts, a sum over images")


def together(tmp_path_factory, function, cases, pairs, processes, **more):
    cache = tmp_path_factory.mktemp("cache")
    return elsewhere.call_together(
        in_process, function, cases, pairs, cache, more.get("sharded", False), processes=processes
    )


def spoiled(pairs):
    """Some of the pairs with pictures that cannot be read."""
    pairs[3].picture.write_text("no picture")
    return pairs


def check(alone, parts, name):
    bound = 1e-8
    assert sum(part["rows"] for part in parts) == alone["rows"], name
    for part in parts:
        assert part["loss"] == pytest.approx(alone["loss"], rel=bound), name
        assert part["cosines"] == pytest.approx(alone["cosines"], abs=bound), name
        if alone["norm"] is None:
            assert part["norm"] is None, name
        else:
            assert part["norm"] == pytest.approx(alone["norm"], rel=bound), name
        assert part["unread"] == alone["unread"], name
        for kind in ("gradients", "optimizer"):
            assert part[kind].keys() == alone[kind].keys(), name
        for kind in ("gradients", "buffers", "weights", "optimizer"):
            for key, expected in alone[kind].items():
                apart = (part[kind][key] - expected).abs().max().item()
                assert apart <= bound * max(1.0, expected.abs().max().item()), (name, kind, key)


def test_gradients_are_those_of_one_process(pairs, tmp_path_factory):
    """Of every loss, for shares of different size, with a picture that cannot be read."""
    pairs = spoiled(pairs)
    alone = {name: step(case, pairs) for name, case in CASES.items()}
    assert all(each["gradients"] for each in alone.values())
    for processes in (2, 3):
        parts = together(tmp_path_factory, step, CASES, pairs, processes)
        for name in CASES:
            check(alone[name], [part[name] for part in parts], name)


def test_every_built_in_loss_is_among_the_cases():
    used = {"info-nce"}
    for case in CASES.values():
        loss = case.get("changes", {}).get("loss", "info-nce")
        used.add(loss if isinstance(loss, str) else loss["name"])
    assert {each.name for each in zoo_losses()} <= used


def test_sharded_by_fsdp2(pairs, tmp_path_factory):
    cases = {name: CASES[name] for name in SHARDED}
    parts = together(tmp_path_factory, step, cases, pairs, 2, sharded=True)
    for name, case in cases.items():
        check(step(case, pairs), [part[name] for part in parts], name)


def test_what_processes_cannot_work_with(pairs, tmp_path_factory):
    order = Order(pairs, sampling="pair", batch_size=12, seed=0)
    for index in order.step(0).pairs[8:]:  # the share of the third
        pairs[index].picture.write_text("no picture")
    parts = together(tmp_path_factory, refused, {"all": {}}, pairs, 3)
    for part in parts:
        size, data, share = part["all"]
        assert size == (
            "train.batch_size is that of all processes together: 2 pairs a step cannot be divided "
            "among 3 processes"
        )
        assert data.startswith("the training data is not the same in all processes: ")
        assert data.endswith(" in process 1. All have to see the same data")
        assert share.startswith(
            "no picture of a batch that process 2 was to have can be read.\n4 of 12 pictures"
        )


def test_a_sharded_model_takes_the_weights_of_the_one_given(pairs, tmp_path_factory):
    """Those of the first process."""
    parts = together(tmp_path_factory, taken, {"all": {}}, pairs, 2, sharded=True)
    for part in parts:
        assert part["all"] == [[float(number)] for number in range(len(part["all"]))]


def test_a_run_ends_with_the_weights_of_one_process(pairs, tmp_path_factory):
    """And is judged in one of them, which tells all."""
    slow = {"name": "sgd", "learning_rate": 1e-3}  # or rounding grows into other weights
    cases = {
        "full": {"recipe": {"steps": 6, "batch_size": 5, "optimizer": slow}},
        "heads": {
            "train": ("head", "frozen"),
            "recipe": {"steps": 6, "batch_size": 5, "optimizer": slow},
        },
    }
    pairs = spoiled(pairs)
    parts = together(tmp_path_factory, run, cases, pairs, 2)
    for name, case in cases.items():
        alone = run(case, pairs)
        for rank, part in enumerate(parts):
            found = part[name]
            assert found["losses"] == pytest.approx(alone["losses"], rel=1e-3), name
            for key, expected in alone["weights"].items():
                torch.testing.assert_close(
                    found["weights"][key], expected, rtol=1e-3, atol=1e-5, msg=f"{name} {key}"
                )
            assert found["metrics"] == alone["metrics"]
            assert found["asked"] == (alone["asked"] if rank == 0 else 0)
        first, second = (part[name]["weights"] for part in parts)
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_what_fails_in_one_process_fails_in_all(pairs, tmp_path_factory):
    """And they go on together afterwards."""
    parts = together(tmp_path_factory, failing, {"all": {}}, pairs, 2)
    (first, *works), (second, *same) = (part["all"] for part in parts)
    assert works == same == [([0, 10], "here"), 0]
    assert first["all"] == second["all"] == ("DataError", "no picture")
    assert first["turns"] == second["turns"] == ("DataError", "no text")
    assert first["first"] == ("PermissionError", "[Errno 13] no room")
    assert second["first"] == ("ZooError", "process 0: PermissionError: [Errno 13] no room")
    assert second["later turns"] == ("RunStopped", "told")
    assert first["later turns"] == ("ZooError", "process 1: RunStopped: told")


def test_all_compute_in_the_precision_of_the_first(pairs, tmp_path_factory):
    first, second = together(tmp_path_factory, precisions, {"all": {}}, pairs, 2)
    assert first["all"] == ("fp32", {False})
    assert second["all"] == ("bf16", {False})


def test_a_sharded_run_is_resumed_to_the_bit(pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharded")
    asked = {
        "steps": 5,
        "log_every": 1,
        "checkpoint": {"steps": 2},
        "optimizer": {"name": "adamw", "learning_rate": 1e-2},
    }
    case = {"recipe": asked, "folder": str(folder)}
    parts = together(tmp_path_factory, resumed, {"all": case}, pairs, 2, sharded=True)
    for part in parts:
        whole, pieces = part["all"]["whole"], part["all"]["pieces"]
        assert whole.keys() == pieces.keys()
        assert all(torch.equal(whole[name], pieces[name]) for name in whole)
    logs = [(folder / name / "log.jsonl").read_bytes() for name in ("whole", "pieces")]
    assert logs[0] == logs[1]
    assert logs[0].count(b"\n") == 5
