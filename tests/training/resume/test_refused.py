"""What is not resumed, not begun or not chosen, and that nothing is lost by it."""

import shutil

import pytest
from breaking import BreakOff, alike, flip, state
from PIL import Image

from zoo.data.pairs import Pair
from zoo.errors import CheckpointError, FolderError, SpecError
from zoo.training.loop import train
from zoo.training.observer import Observer
from zoo.training.run_folder import RunFolder


def test_a_metric_that_the_judge_does_not_give(model, pairs, recipe, tmp_path):
    asked = recipe(steps=1, checkpoint={"metric": "recal"})
    with pytest.raises(
        SpecError, match=r"checkpoint.metric: the judge gives no 'recal'; it gives recall. Did you"
    ):
        train(model(), pairs, asked, judge=lambda: {"recall": 1.0}, folder=tmp_path / "run")
    best = recipe(checkpoint={"save": "best"})
    for given in ({}, {"folder": tmp_path / "new"}, {"judge": lambda: {"recall": 1.0}}):
        with pytest.raises(SpecError, match=r"checkpoint.save: the best model is one that a judge"):
            train(model(), pairs, best, **given)
    assert not (tmp_path / "new").exists()


DAMAGES = {
    "bit of a tensor": (
        lambda at: flip(at / "tensors.safetensors", -3),
        r"safetensors changed since",
    ),
    "cut off": (
        lambda at: (at / "tensors.safetensors").write_bytes(b"cut"),
        r"tensors.safetensors changed since it was written",
    ),
    "tensors missing": (
        lambda at: (at / "tensors.safetensors").unlink(),
        r"not a whole checkpoint: tensors.safetensors: ",
    ),
    "bit of the json": (
        lambda at: (at / "checkpoint.json").write_text(
            (at / "checkpoint.json").read_text().replace('"step": 6', '"step": 5')
        ),
        r"checkpoint.json changed since it was written",
    ),
    "no json": (
        lambda at: (at / "checkpoint.json").write_text("{"),
        r"not a whole checkpoint: checkpoint.json: ",
    ),
    "a list": (
        lambda at: (at / "checkpoint.json").write_text("[]"),
        r"not a whole checkpoint: checkpoint.json: ",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_checkpoint_is_never_passed_over(begun, model, pairs, tmp_path, damage):
    folder, asked = begun
    hurt, said = DAMAGES[damage]
    hurt(folder.checkpoints / "step-00000006")
    log = folder.log.read_bytes()
    with pytest.raises(
        CheckpointError,
        match=rf"step-00000006: {said}?.*Nothing was changed; the last good one is .*step-00000004: "
        r"go on from it with --from-step 4 \(from_step=4 in code\)"
        if "?" in said
        else rf"{said}.*Nothing was changed; the last good one is .*step-00000004: go on from it with "
        r"--from-step 4 \(from_step=4 in code\)",
    ):
        train(model("full"), pairs, asked, folder=folder.path, resume=True)
    assert folder.log.read_bytes() == log
    whole, resumed = model("full"), model("full")
    train(whole, pairs, asked, folder=tmp_path / "whole")
    train(resumed, pairs, asked, folder=folder.path, from_step=4)
    assert alike(state(whole), state(resumed))
    assert folder.log.read_bytes() == RunFolder(tmp_path / "whole").log.read_bytes()


def test_no_checkpoint_is_whole(begun, model, pairs):
    folder, asked = begun
    for each in folder.checkpoints.iterdir():
        flip(each / "tensors.safetensors")
    with pytest.raises(
        CheckpointError, match=r"no earlier one is whole either; begin anew with --ov"
    ):
        train(model("full"), pairs, asked, folder=folder.path, resume=True)
    with pytest.raises(
        CheckpointError, match=r"step-00000005: there is no such checkpoint; there "
    ):
        train(model("full"), pairs, asked, folder=folder.path, from_step=5)


def other_colour(pairs):
    Image.new("RGB", (40, 40), (1, 2, 3)).save(pairs[2].picture)
    return pairs


CHANGES = {
    "recipe": (
        {"optimizer": {"learning_rate": 1e-2}},
        r"train.optimizer.learning_rate was 0.003 and is 0.01\. Put it back as it was",
    ),
    "recipes": (
        {"steps": 9, "log_every": 4},
        r"train.steps was 8 and is 9; train.log_every was null and is 4\. ",
    ),
    "spec": ({"changes": {"loss": "siglip"}}, r'loss.name was "info-nce" and is "siglip"; '),
    "frozen": ({"weights": 1.5}, r"the weights of text.encoder, which do not train, are others\. "),
    "caption": (
        {"pairs": lambda pairs: [Pair(pairs[0].picture, ("hue",), "red"), *pairs[1:]]},
        r"the captions of the split 'train' are others\. ",
    ),
    "picture": ({"pairs": other_colour}, r"the pictures of the split 'train' are others\. "),
    "order": (
        {"pairs": lambda pairs: pairs[::-1]},
        r"the captions of the split 'train' are others; the pictures of the split 'train' are",
    ),
    "fewer": (
        {"pairs": lambda pairs: pairs[:-1]},
        r"the number of pairs of the split 'train' was 12 and is 11; ",
    ),
    "validation": (
        {"fingerprints": {"validation": {"pairs": 3}}},
        r"the data 'validation' was not there and is {\"pairs\": 3}\. ",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_run_is_not_resumed(begun, model, pairs, change):
    folder, asked = begun
    changed, said = CHANGES[change]
    changed = dict(changed)
    built = model("full", changes=changed.pop("changes", None))
    if factor := changed.pop("weights", None):
        built.text_encoder.encoder.table.weight.data.mul_(factor)
    of = changed.pop("pairs", lambda pairs: pairs)(pairs)
    further = {"fingerprints": changed.pop("fingerprints", None)}
    data = {**asked.model_dump(), **changed}
    data["optimizer"] = {**asked.model_dump()["optimizer"], **changed.get("optimizer", {})}
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with pytest.raises(
        CheckpointError,
        match=rf"run: cannot be resumed, since it would not be the run that was begun: {said}",
    ):
        train(
            built, of, type(asked).model_validate(data), folder=folder.path, resume=True, **further
        )
    assert before == {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}


def best(recipe, **more):
    checkpoint = {"steps": 2, "keep": 1, "save": "best", **more}
    return recipe(steps=15, sampling="pair", evaluation={"every": 1}, checkpoint=checkpoint)


def test_a_best_that_is_gone_is_missed_before_any_step(model, pairs, recipe, tmp_path):
    given = [0.6, 0.2, 0.2, 0.2, 0.2]
    judged, folder, steps = iter(given), RunFolder(tmp_path / "run"), []
    with pytest.raises(KeyboardInterrupt):
        train(
            model("full"),
            pairs,
            best(recipe),
            judge=lambda: {"recall": next(judged)},
            folder=folder.path,
            observers=[BreakOff(11)],
        )
    flip(folder.checkpoints / "step-00000003" / "tensors.safetensors", -3)
    further = {"folder": folder.path, "resume": True, "on_step": steps.append}
    with pytest.raises(
        CheckpointError,
        match=r"step-00000003: tensors.safetensors changed since it was written\. It is the best so far, "
        r"which the run is to end with; go on with --set train.checkpoint.save=last, and it ends with",
    ):
        train(model("full"), pairs, best(recipe), judge=lambda: {"recall": 0.1}, **further)
    assert steps == []
    ended, whole = model("full"), model("full")
    train(
        ended, pairs, best(recipe, save="last"), judge=lambda: {"recall": next(judged)}, **further
    )
    again = iter(given)
    train(whole, pairs, best(recipe, save="last"), judge=lambda: {"recall": next(again)})
    assert steps[0].number == 11
    assert alike(state(ended), state(whole))


def test_a_judge_that_gives_no_number_chooses_no_best(model, pairs, recipe, tmp_path):
    said = {"judge": lambda: {"recall": float("nan")}, "folder": tmp_path / "run"}
    with pytest.raises(
        SpecError,
        match=r"checkpoint.save: the best model is asked for, and the judge has given no number at any "
        r"evaluation; for the last one, go on with --resume --set train.checkpoint.save=last$",
    ):
        train(model(), pairs, best(recipe), **said)
    ended, whole = model(), model()
    train(ended, pairs, best(recipe, save="last"), resume=True, **said)
    train(whole, pairs, best(recipe, save="last"))
    assert alike(state(ended), state(whole))


def test_a_log_that_was_changed_is_not_gone_on_with(begun, model, pairs):
    folder, asked = begun
    flip(folder.log, 20)
    with pytest.raises(
        CheckpointError,
        match=r"log.jsonl: is not what the checkpoint goes on from: .* put the file back as the run "
        r"wrote it, go on from an earlier checkpoint with --from-step .* or begin anew with --overwrite",
    ):
        train(model("full"), pairs, asked, folder=folder.path, resume=True)


def test_without_a_checkpoint_it_begins_with_the_same_weights_or_not_at_all(
    begun, model, pairs, tmp_path
):
    folder, asked = begun
    shutil.rmtree(folder.checkpoints)
    other, same, whole = model("full"), model("full"), model("full")
    other.image_encoder.head.load_state_dict(
        {name: each + 1 for name, each in other.image_encoder.head.state_dict().items()}
    )
    with pytest.raises(
        CheckpointError, match=r"no checkpoint, and the model's weights are not those"
    ):
        train(other, pairs, asked, folder=folder.path, resume=True)
    train(same, pairs, asked, folder=folder.path, resume=True)
    train(whole, pairs, asked, folder=tmp_path / "whole")
    assert alike(state(whole), state(same))
    assert folder.log.read_bytes() == RunFolder(tmp_path / "whole").log.read_bytes()


def test_what_goes_together(model, pairs, recipe, tmp_path):
    with pytest.raises(CheckpointError, match="is resumed, or overwritten, in a folder; say which"):
        train(model(), pairs, recipe(), resume=True)
    with pytest.raises(CheckpointError, match="resumed or overwritten, and not both; leave one of"):
        train(model(), pairs, recipe(), folder=tmp_path / "run", from_step=3, overwrite=True)


REFUSED = {
    "warm-up": (
        {"schedule": {"warmup": 999}},
        r"999 steps of warm-up, and the run has 8; shorten it",
    ),
    "optimizer": ({"optimizer": {"name": "sgdd"}}, r"timm has no optimizer 'sgdd'"),
    "parts": ({"accumulation": 2}, r"train.accumulation: .* more batch norms take their"),
}


@pytest.mark.parametrize("refused", REFUSED)
def test_a_run_that_cannot_begin_replaces_none(begun, model, pairs, recipe, tmp_path, refused):
    folder, _ = begun
    given, said = REFUSED[refused]
    asked = recipe(steps=8, **given)
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    assert any(path.name == "tensors.safetensors" for path in before)
    with pytest.raises(SpecError, match=said):
        train(model("full"), pairs, asked, folder=folder.path, overwrite=True)
    assert before == {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with pytest.raises(SpecError, match=said):
        train(model("full"), pairs, asked, folder=tmp_path / "new")
    assert not (tmp_path / "new").exists()


class Intrudes(Observer):
    """In the midst of a run, another one is started in its folder."""

    def __init__(self, starts):
        self.starts, self.refused = starts, []

    def on_step(self, step):
        if step.number == 3:
            for again in ({"resume": True}, {"overwrite": True}):
                with pytest.raises(CheckpointError) as refused:
                    self.starts(**again)
                self.refused.append(str(refused.value))


def test_one_run_at_a_time(model, pairs, recipe, tmp_path):
    asked = recipe(steps=6, workers=1, checkpoint={"steps": 2})
    whole, disturbed = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "run")
    train(model(), pairs, asked, folder=whole.path)
    intrudes = Intrudes(lambda **how: train(model(), pairs, asked, folder=disturbed.path, **how))
    train(model(), pairs, asked, folder=disturbed.path, observers=[intrudes])
    said = (
        f"{disturbed.path}: a run is under way here, in this process or another; wait for its end"
    )
    assert len(intrudes.refused) == 2
    assert all(each.startswith(said) for each in intrudes.refused)
    assert disturbed.log.read_bytes() == whole.log.read_bytes()
    train(model(), pairs, asked, folder=disturbed.path, resume=True)  # over, it is free


def test_a_run_that_was_made_meanwhile_stays(model, pairs, recipe, tmp_path):
    """Two commands are started for one folder; the second computes features while the first trains."""
    asked = recipe(steps=3, checkpoint={"steps": 1})
    first = []

    def meanwhile(*_told):
        if not first:
            first.append(model())
            train(first[0], pairs, asked, folder=tmp_path / "run")

    with pytest.raises(FolderError, match=r"holds a run already; go on with it by --resume"):
        train(model(), pairs, recipe(steps=2), folder=tmp_path / "run", progress=meanwhile)
    checkpoints = RunFolder(tmp_path / "run").checkpoints
    assert "step-00000003" in {each.name for each in checkpoints.iterdir()}


def test_no_step_to_go_on_from(model, pairs, recipe, tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no run, and so no checkpoint of step 5; "):
        train(model(), pairs, recipe(steps=2), folder=tmp_path / "run", from_step=5)
    assert not (tmp_path / "run").exists()
