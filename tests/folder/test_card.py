"""The model card: metadata that the hub reads, and a page that tells how to load the model."""

import json

import pytest
import yaml

import zoo
import zoo_tiny


@pytest.fixture
def tiny(install):
    install("zoo-tiny", zoo_tiny.ENTRY_POINTS)
    return zoo.build({**zoo_tiny.SPEC, "name": "tiny-clip", "summary": "A model of | few numbers."})


def parts(folder):
    _, metadata, page = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(metadata), page


def test_what_the_card_says(tiny, tmp_path):
    metadata, page = parts(zoo.save(tiny, tmp_path / "model"))
    assert metadata == {
        "library_name": "clip-zoo",
        "pipeline_tag": "zero-shot-image-classification",
        "tags": ["clip-zoo", "clip", "image-text"],
    }
    assert "# tiny-clip\n" in page
    assert r"A model of \| few numbers." in page
    assert 'zoo.load("model")' in page
    assert "`pip install clip-zoo zoo-tiny`" in page
    assert "| image.encoder | `tiny-image` | zoo-tiny 1.0 |  | 12 | 0 |" in page
    assert "| text.encoder | `tiny-text` | zoo-tiny 1.0 |  | 0 | 108 |" in page
    assert "| loss | `info-nce` | clip-zoo" in page


def test_licence_and_training(tiny, tmp_path):
    result = {
        "data": {"name": "emojis", "attribution": "by OpenMoji", "licence": "CC BY-SA 4.0"},
        "test": {"count": 3, "image_to_text": {"recall@1": 0.5}},
        "folder": "/home/me",
    }
    record = {"licence": "Apache-2.0", "training": result}
    metadata, page = parts(zoo.save(tiny, tmp_path / "model", record=record))
    assert metadata["license"] == "apache-2.0"
    assert "On emojis: by OpenMoji; licence CC BY-SA 4.0." in page
    assert json.loads(page.partition("```json\n")[2].partition("```")[0]) == {
        "test": result["test"]
    }
    assert "/home/me" not in page


def test_a_frozen_part_of_a_repository_is_its_base(tmp_path, minilm_in_hub_cache):
    from standins import MINILM, MINILM_REVISION

    model = zoo.build(
        "resnet50-clip",
        towers=["text"],
        overrides={"text.encoder": f"hf/{MINILM}", "embedding_dim": 384},
    )
    metadata, page = parts(zoo.save(model, tmp_path / "model"))
    assert metadata["base_model"] == [MINILM]
    assert f"{MINILM} @ {MINILM_REVISION}, model.safetensors" in page
    assert "The weights of text.encoder are not in this folder" in page


def test_a_name_is_no_markdown(tmp_path, install):
    install("zoo-tiny", zoo_tiny.ENTRY_POINTS)
    model = zoo.build({**zoo_tiny.SPEC, "name": "a\n---\nlicense: mine\n# b"})
    metadata, page = parts(zoo.save(model, tmp_path / 'mo"del'))
    assert "license" not in metadata
    assert "# a --- license: mine # b\n" in page
    assert r'zoo.load("mo\"del")' in page
