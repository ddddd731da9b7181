"""README and docs: generated parts are up to date, and the code in them runs."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
from PIL import Image

import zoo

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_generated_parts():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for path in generate.PARTS:
        assert generate.generated(path) == path.read_text(encoding="utf-8"), "run docs/generate.py"


def test_the_trainable_table_has_the_references_figures():
    text = (ROOT / "docs" / "trainable-vs-frozen.md").read_text(encoding="utf-8")
    for figure in ("28,753,472", "63,428,096", "23,508,032", "5,245,440", "31%"):
        assert figure in text


@pytest.mark.long
def test_python_blocks_run(tmp_path, capsys, clip_in_hub_cache, resnet50_in_torch_hub):
    for name in ("cat.jpg", "dog.jpg"):
        Image.new("RGB", (300, 200), "grey").save(tmp_path / name)
    scope: dict[str, object] = {}
    for code in blocks("python"):
        exec(compile(code, "README.md", "exec"), scope)
    said = capsys.readouterr().out
    assert "torch.Size([32, 512]) torch.Size([32, 512])" in said
    assert "28,753,472" in said
    assert [each.name for each in scope["zoo_projection_heads"]()] == ["my-head"]
    zoo.register("image_encoder", "my-encoder", scope["MyEncoder"])
    zoo.register("head", "my-head", scope["MyHead"])
    overrides = {"image.encoder": "my-encoder", "image.head": "my-head"}
    model = zoo.build("resnet50-clip", pretrained=False, overrides=overrides)
    assert model.embed_images([tmp_path / "cat.jpg"]).shape == (1, 512)


def test_toml_blocks_are_valid(user_registry, tmp_path):
    from zoo.assembly import plan

    spec, registry, entry_points = blocks("toml")
    (tmp_path / "mine.toml").write_text(spec)
    plan(tmp_path / "mine.toml").check()
    user_registry(registry)
    plan("small-clip").check()
    assert set(tomllib.loads(entry_points)["project"]["entry-points"]) == {
        "zoo.image_encoders",
        "zoo.plugins",
    }


def test_the_error_shown_is_the_error_raised():
    shown = re.search(r"^error: (.*?)^```", README, re.DOTALL | re.MULTILINE)[1]
    with pytest.raises(zoo.ZooError) as raised:
        zoo.build("resnet50-clip", overrides={"image.head.args.hiden_dim": 64})
    assert " ".join(shown.split()) == str(raised.value)
