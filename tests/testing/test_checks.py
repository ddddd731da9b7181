"""The kit is itself tested: sound components pass every check, and each check catches a wrong one."""

import os
import sys
import types

import pytest

import wrong_components as wrong
from zoo.errors import MissingExtraError
from zoo.testing import cases_of_factory, checks_of, elsewhere, run

SOUND = [
    ("image-encoder", wrong.ImageEncoder),
    ("image-encoder", wrong.Unusual),
    ("image-encoder", wrong.OldNorm),
    ("text-encoder", wrong.TextEncoder),
    ("head", wrong.Head),
    ("head", wrong.TokenHead),
    ("loss", wrong.Loss),
    ("loss", wrong.InFloat),
    ("loss", wrong.OfImages),
    ("loss", wrong.Pupil),
    ("dataset", wrong.dataset),
]

CAUGHT = [
    ("image-encoder", "out-dim", wrong.OtherOutDim, "out_dim is 9, and 3 inputs give .* (3, 8)"),
    ("image-encoder", "made", wrong.NoPreprocess, "without 'preprocess'"),
    ("image-encoder", "made", wrong.Lazy, "'extra.weight' has no size until a first batch"),
    (
        "image-encoder",
        "weights",
        wrong.SwallowsTags,
        "SwallowsTags took weights='no-such-weights' and",
    ),
    ("image-encoder", "no-network", wrong.Phones, "it connects to 127.0.0.1"),
    ("image-encoder", "no-network", wrong.Calls, "it connects to ('127.0.0.1', 9)"),
    ("image-encoder", "deterministic", wrong.ChangesItsInput, "it changes its input 0 in place"),
    ("image-encoder", "state-dict", wrong.SharesMemory, "two instances share 'last.weight'"),
    ("image-encoder", "state-dict", wrong.BehindAGate, "neither a parameter nor a buffer"),
    ("image-encoder", "pickling", wrong.DiesElsewhere, "process ended before it answered"),
    ("image-encoder", "gradients", wrong.NothingTrains, "none of its parameters trains"),
    ("image-encoder", "gradients", wrong.ZeroGradients, "of all its parameters are zero"),
    ("image-encoder", "dtype", wrong.TurnsInHalf, "its output turns to a cosine of"),
    ("image-encoder", "dtype", wrong.AlwaysDouble, "in float32 it gives torch.float64"),
    ("image-encoder", "export", wrong.FixedBatch, "it fixes the size of the batch; ask for it by"),
    ("image-encoder", "tokens", wrong.OtherChannels, "made for 8 channels, and for 2 pictures it"),
    ("image-encoder", "tokens", wrong.CutTokens, "no gradient reaches the pictures"),
    ("image-encoder", "preprocess", wrong.PreprocessIsCode, "preprocess is data, a zoo.Preprocess"),
    ("image-encoder", "sizes", wrong.OneSizeOnly, "(64, 32) pixels give an output of shape (2, 8)"),
    ("image-encoder", "tokens", wrong.PooledTokens, "gives (2, 8), not finite (2, places, chan"),
    ("image-encoder", "frozen", wrong.AlwaysLearns, "frozen, it still builds a graph"),
    ("image-encoder", "frozen", wrong.NormNeverFreezes, "is in train mode after train()"),
    ("image-encoder", "expected-failures", wrong.ExcusedFromNothing, "names no check: 'exprot'"),
    ("image-encoder", "expected-failures", wrong.ExcusedWithoutReason, "give the reason in words"),
    ("image-encoder", "arguments", wrong.Swallows, "takes *options, which swallows mistyped"),
    ("image-encoder", "arguments", wrong.Untyped, "without a type, .* cannot be checked: width"),
    ("image-encoder", "arguments", wrong.TypedForCheckers, "the type of 'width', 'Missing', fails"),
    ("image-encoder", "train-and-eval", wrong.NormNeverFreezes, "eval() does not reach"),
    ("image-encoder", "train-and-eval", wrong.CountsItsCalls, "in eval mode changes 'calls'"),
    ("image-encoder", "deterministic", wrong.AlwaysDrops, "outputs differ by"),
    ("image-encoder", "deterministic", wrong.NotANumber, "its output is not finite"),
    ("image-encoder", "state-dict", wrong.HiddenState, "neither a parameter nor a buffer"),
    ("image-encoder", "pickling", wrong.KeepsALambda, "it cannot be pickled"),
    ("image-encoder", "gradients", wrong.UnusedParameter, "no gradient reaches 'spare.weight'"),
    ("image-encoder", "gradients", wrong.CutsTheGraph, "no gradient reaches input 0"),
    ("image-encoder", "dtype", wrong.AlwaysFloat, "moved to bfloat16, it gives torch.float32"),
    ("image-encoder", "device", wrong.OnTheProcessor, "moved to 'cuda', it fails"),
    ("image-encoder", "device", wrong.HiddenState, "moved to 'cuda', it fails"),
    ("image-encoder", "batch-sizes", wrong.Squeezes, "a batch of 1 gives an output of shape (8,)"),
    ("image-encoder", "batch-independence", wrong.LooksAtNeighbours, "row 0 alone differs by"),
    ("image-encoder", "export", wrong.DataDependent, "torch.export fails"),
    ("text-encoder", "tokenizer", wrong.SmallIdsEncoder, "ids are torch.int32"),
    ("text-encoder", "tokenizer", wrong.NeverCutsEncoder, "tokens, and context_length is 12"),
    ("text-encoder", "truncation", wrong.CutsTheEndEncoder, "short texts end with token 2, and a"),
    ("text-encoder", "padding", wrong.ReadsPadding, "padded to the length of another text"),
    ("text-encoder", "padding", wrong.ReadsTheLastColumn, "it differs by"),
    ("head", "shapes", wrong.SquareHead, "in_dim=64, out_dim=32: 2 rows give shape (2, 64)"),
    ("head", "shapes", wrong.SaysOtherwise, "takes_tokens of the factory and of what it makes"),
    ("head", "finite", wrong.DividesByNorm, "features times 0 give numbers not finite"),
    ("loss", "device", wrong.LabelsOnTheProcessor, "moved to 'cuda', it fails"),
    ("loss", "autocast", wrong.FailsInHalf, "the value is .* and without autocast"),
    ("loss", "extremes", wrong.DividesByTemperature, "temperature = 0 the value is nan"),
    ("loss", "scalar", wrong.PerRow, "1 pairs give a value of shape (1,)"),
    ("loss", "scalar", wrong.NaNForOnePair, "1 pairs give nan"),
    ("loss", "gradients", wrong.IgnoresTexts, "no gradient reaches text_embeds"),
    ("loss", "prefers-pairs", wrong.PrefersStrangers, "matching pairs cost"),
    ("loss", "permutation", wrong.FirstPairCounts, "in another order of the same pairs"),
    ("loss", "precision", wrong.LosesDigits, "differ by"),
    ("loss", "extremes", wrong.Overflows, "log_scale = 20 the value is nan"),
    ("loss", "claims", wrong.ClaimsTheMoon, "it claims ['minimum-on-the-moon']"),
    ("loss", "minimum-at-simplex", wrong.NoMinimumThere, "the loss is lower by"),
    ("loss", "splits-over-processes", wrong.AloneInEachProcess, "differs by"),
    ("loss", "several-positives", wrong.IgnoresIds, "draws text 1 no nearer than without"),
    ("loss", "several-positives", wrong.ReadsIdsAsNumbers, "with other numbers in image_ids"),
    ("loss", "sums-over-images", wrong.AveragesOverParts, "the values add up to another by"),
    ("loss", "teacher", wrong.NeedsNoTeacher, "it gives a value all the same"),
    ("loss", "teacher", wrong.TrainsItsTeacher, "a gradient reaches teacher_image_embeds"),
    ("dataset", "made", wrong.not_a_dataset, "not a zoo.data.pairs.ImageTextDataset"),
    ("dataset", "splits", wrong.untrainable, "it has no split 'train'; it has test"),
    ("dataset", "pictures", wrong.missing_picture, "gone.png: there is no such picture"),
    ("dataset", "captions", wrong.blank_caption, "red.png has the caption ' '"),
    ("dataset", "concepts", wrong.leaking, "the concept 'red' is in 'train' and in 'test'"),
    ("dataset", "fixed-split", wrong.shuffled, "its pairs or their splits are others"),
    ("dataset", "fixed-split", wrong.by_hash, "in another process, its pairs or their splits"),
    ("dataset", "licence", wrong.unlicensed, "its licence is ''"),
]
ELSEWHERE = {
    *(("model", check.name) for check in checks_of("model")),
    *(("plugin", check.name) for check in checks_of("plugin")),
}
"""Checks of what only a distribution can have; `test_plugins.py` has the wrong ones."""


def case(kind, name, factory):
    (found,) = [each for each in cases_of_factory(kind, factory) if each.check.name == name]
    return found


@pytest.mark.parametrize(("kind", "factory"), SOUND)
def test_sound_components_pass(kind, factory):
    outcomes = [run(each) for each in cases_of_factory(kind, factory)]
    assert [each for each in outcomes if each.verdict == "failed"] == []
    assert len(outcomes) == len(checks_of(kind))


@pytest.mark.parametrize(("kind", "check", "factory", "message"), CAUGHT)
def test_wrong_components_are_caught(kind, check, factory, message):
    outcome = run(case(kind, check, factory))
    assert outcome.verdict == "failed"
    for piece in message.split(" .* "):
        assert piece in outcome.message


def test_every_check_has_a_wrong_component():
    caught = {case(kind, check, wrong.Head).check.function for kind, check, *_ in CAUGHT}
    for kind in ("image-encoder", "text-encoder", "head", "loss", "dataset", "model", "plugin"):
        for check in checks_of(kind):
            assert check.function in caught or (kind, check.name) in ELSEWHERE, check


def test_every_check_says_what_it_is():
    for kind in ("image-encoder", "text-encoder", "head", "loss", "dataset", "model", "plugin"):
        names = [check.name for check in checks_of(kind)]
        assert len(set(names)) == len(names)
        assert all(check.what.endswith(".") for check in checks_of(kind))


def test_an_expected_failure_needs_a_reason_and_a_failure():
    excused = run(case("image-encoder", "export", wrong.ExcusedFromExport))
    assert excused.verdict == "expected failure"
    assert "which branch it takes depends on the picture (torch.export fails" in excused.message
    blank = run(case("image-encoder", "export", wrong.ExcusedWithoutReason))
    assert (blank.verdict, blank.message) == (
        "failed",
        "an expected failure needs a reason in words",
    )
    needless = run(case("image-encoder", "dtype", wrong.ExcusedWithoutNeed))
    assert needless.verdict == "failed"
    assert "it passes, and should not be declared to fail: it used to" in needless.message


def test_excuses_of_what_depends_on_torch_may_be_idle():
    outcome = run(case("image-encoder", "export", wrong.ExcusedWithoutNeed))
    assert outcome.verdict == "passed"


def test_what_a_component_does_not_offer_does_not_apply():
    outcome = run(case("loss", "splits-over-processes", wrong.Loss))
    assert outcome.verdict == "does not apply"
    assert outcome.message == "it does not claim 'splits-over-processes'"


def broken(*, weights: str | None = None):
    raise ValueError("no such luck")


def no_module(*, weights: str | None = None):
    return "a module"


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (broken, "it could not be made: ValueError: no such luck"),
        (no_module, "the factory gave 'a module', not an nn.Module"),
    ],
)
def test_a_factory_that_fails_is_one_failure(factory, message):
    outcomes = {each.check.name: run(each) for each in cases_of_factory("image-encoder", factory)}
    assert outcomes.pop("made").message == message
    assert outcomes.pop("arguments").verdict == "passed"  # asks its signature only
    assert {each.verdict for each in outcomes.values()} == {"does not apply"}
    assert outcomes["export"].message == "it cannot be made, as the check 'made' says"


def needs_more():
    raise MissingExtraError("its pictures are in another package: pip install 'zoo-mine[pictures]'")


def test_a_dataset_without_its_extra_is_not_checked():
    outcomes = {each.check.name: run(each) for each in cases_of_factory("dataset", needs_more)}
    assert {each.verdict for each in outcomes.values()} == {"does not apply"}
    assert outcomes["made"].message.endswith("pip install 'zoo-mine[pictures]'")


@pytest.mark.parametrize(
    ("tags", "verdict"),
    [(["a1_in1k"], "passed"), ([], "passed"), ([""], "failed"), ("a", "failed")],
)
def test_weights_tags_are_words(monkeypatch, tags, verdict):
    module = types.ModuleType("tagged")
    module.weights_tags = lambda: tags
    monkeypatch.setitem(sys.modules, "tagged", module)

    class Tagged(wrong.SwallowsTags):  # zoo.build refuses what is not among them
        __module__ = "tagged"

    outcome = run(case("image-encoder", "weights", Tagged))
    assert outcome.verdict == verdict
    if verdict == "failed":
        assert outcome.message == f"weights_tags() gives {tags!r}, not a list of words"


def test_what_tensors_without_data_cannot_tell_does_not_apply():
    outcome = run(case("image-encoder", "device", wrong.DataDependent))
    assert outcome.verdict == "does not apply"
    assert "tensors without data cannot tell" in outcome.message


def test_a_process_that_hangs_is_ended_and_the_next_check_runs(monkeypatch):
    monkeypatch.setattr(elsewhere, "LIMIT", 2.0)
    outcome = run(case("image-encoder", "pickling", wrong.SleepsElsewhere))
    assert outcome.message == "another process gave no answer in 2 s"
    monkeypatch.undo()
    assert run(case("image-encoder", "pickling", wrong.ImageEncoder)).verdict == "passed"


def test_another_process_has_the_environment_of_now(monkeypatch):
    assert elsewhere.call(os.getenv, "ZOO_OF_NOW") is None
    monkeypatch.setenv("ZOO_OF_NOW", "set")
    assert elsewhere.call(os.getenv, "ZOO_OF_NOW") == "set"
