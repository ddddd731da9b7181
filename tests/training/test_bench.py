"""What `bench` measures: the stages that the training has, each by its own functions."""

import json
import time

import pytest

from zoo.data.augment import Augmenter
from zoo.errors import SpecError
from zoo.training import bench as bench_module
from zoo.training.bench import bench


def stages(found, when):
    return [each.name for each in found.stages if each.when == when]


def test_an_encoder_that_trains_reads_pictures_at_each_step(model, pairs, recipe):
    found = bench(model("full", "frozen"), pairs, recipe(workers=2), steps=2)
    steps = ["read", "decode", "augment", "forward", "backward", "optimizer"]
    assert stages(found, "each step") == steps
    assert stages(found, "once") == ["tokenize", "text features"]
    assert (found.batch_size, found.workers, found.compile) == (4, 2, False)
    assert found.bound in steps
    step = sum(each.seconds for each in found.stages[-3:])
    assert found.pairs_per_second <= 1 / step * (1 + 1e-9)
    assert json.loads(json.dumps(found.as_json()))["stages"][0]["per_second"] > 0


def test_frozen_encoders_run_once(model, pairs, recipe):
    found = bench(model("head", "frozen"), pairs, recipe(), steps=1)
    assert stages(found, "each step") == ["forward", "backward", "optimizer"]
    once = ["read", "decode", "preprocess", "image features", "tokenize", "text features"]
    assert stages(found, "once") == once
    assert found.bound in ("forward", "backward", "optimizer")


def test_text_that_trains_is_tokenized_at_each_step(model, pairs, recipe):
    found = bench(model("head", "full"), pairs, recipe(), steps=1)
    assert "tokenize" in stages(found, "each step")


@pytest.mark.parametrize(
    ("slow", "bound", "advice"),
    [
        ("read_bytes", "read", "a faster disk"),
        ("open_picture", "decode", "pictures stored at about the size that the encoder sees"),
        ("read", "augment", "less augmentation"),
    ],
)
def test_the_slow_stage_bounds_it(model, pairs, recipe, monkeypatch, slow, bound, advice):
    def slowed(true):
        def slowly(*args):
            time.sleep(0.2)
            return true(*args)

        return slowly

    # What opens a picture reads it, and what prepares it opens it.
    stages = [(bench_module, "read_bytes"), (bench_module, "open_picture"), (Augmenter, "read")]
    for owner, name in stages[[name for _, name in stages].index(slow) :]:
        monkeypatch.setattr(owner, name, slowed(getattr(owner, name)))
    found = bench(model("full", "frozen"), pairs, recipe(workers=1), steps=1)
    assert found.bound == bound
    assert advice in found.advice


def test_a_model_in_which_nothing_trains_is_refused(model, pairs, recipe):
    with pytest.raises(SpecError, match="nothing in this model trains"):
        bench(model("frozen", "frozen"), pairs, recipe())
