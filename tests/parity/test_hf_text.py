"""Text towers give what the libraries that they come from give for the same files."""

import pytest
from parity.compared import assert_same
from parity.texts import (
    CLIPS,
    DUAL,
    MEANS,
    POOLINGS,
    SAVED,
    clip_at_full_size,
    clip_with_projection,
    dual_encoder,
    mean_of_tokens,
    minilm,
    sentence_transformers_folder,
)


@pytest.mark.parametrize("family", MEANS)
def test_mean_of_the_tokens(text_folder, family):
    assert_same(mean_of_tokens(family, text_folder(family)))


@pytest.mark.parametrize("family", DUAL)
def test_dual_encoders_pool_by_themselves(text_folder, family):
    assert_same(dual_encoder(family, text_folder(family)))


@pytest.mark.parametrize("family", CLIPS)
def test_clip_with_its_projection(text_folder, family):
    assert_same(clip_with_projection(family, text_folder(family)))


@pytest.mark.long
def test_the_reference_at_full_size(clip_in_hub_cache):
    """By its name, from the hub's cache: a pickle of 2021, arg-max of the ids, quick GELU."""
    assert not list(clip_in_hub_cache.glob("*.safetensors"))
    assert_same(clip_at_full_size(clip_in_hub_cache))


@pytest.mark.parametrize("mode", POOLINGS)
@pytest.mark.parametrize("family", SAVED)
def test_folders_that_sentence_transformers_saves(text_folder, tmp_path, family, mode):
    assert_same(sentence_transformers_folder(family, mode, text_folder(family), tmp_path / "saved"))


def test_minilm_with_its_real_weights():
    pytest.importorskip("zoo_starter")
    assert_same(minilm())
