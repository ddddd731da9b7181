"""README and docs: generated parts are up to date, and every block of code in them runs."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from zoo.registry import catalog

ROOT = Path(__file__).parent.parent
LISTED = subprocess.run(
    ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False
).stdout.split()
CARDS = {path.with_name("README.md") for path in ROOT.glob("plugins/*/*/*/zoo.json")}
"""What is written beside a saved model, about it."""
DOCUMENTS = [Path(name) for name in LISTED if ROOT / name not in CARDS] or [
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/**/*.md", "plugins/*/README.md")
    for path in ROOT.glob(pattern)
]
AS_A_WHOLE = {
    path
    for path in DOCUMENTS
    if path.parts[0] == "plugins" or path == Path("docs/plugins/tutorial.md")
}
"""Documents that install something, which `.ci/run` runs as a whole and without stand-ins."""


def module(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found  # where dataclasses look
    spec.loader.exec_module(found)
    return found


documents = module("run")


def test_generated_parts():
    generate = module("generate")
    for path in generate.PARTS:
        assert generate.generated(path) == path.read_text(encoding="utf-8"), "run docs/generate.py"


def test_the_trainable_table_has_the_references_figures():
    text = (ROOT / "docs" / "trainable-vs-frozen.md").read_text(encoding="utf-8")
    for figure in ("28,753,472", "63,428,096", "23,508,032", "5,245,440", "31%"):
        assert figure in text


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One for all documents, so that pictures are rendered and features computed once.

    Or one in which they are already: `ZOO_TEST_CACHE`.
    """
    return os.environ.get("ZOO_TEST_CACHE") or tmp_path_factory.mktemp("cache-of-documents")


@pytest.mark.long
@pytest.mark.parametrize("path", sorted(set(DOCUMENTS) - AS_A_WHOLE), ids=str)
def test_every_block_runs(
    path, tmp_path, cache, monkeypatch, clip_in_hub_cache, resnet50_in_torch_hub
):
    monkeypatch.delenv("ZOO_PLUGINS")
    monkeypatch.setenv("ZOO_CACHE", str(cache))
    for name in ("cat.jpg", "dog.jpg"):
        Image.new("RGB", (300, 200), "grey").save(tmp_path / name)
    catalog.cache_clear()
    seconds, said = documents.run(ROOT / path, tmp_path)
    print(documents.durations(seconds))
    expected = [
        block
        for block in documents.blocks(ROOT / path)
        if block.kind != "text" and not block.sets_up
    ]
    assert list(seconds) == [block.where for block in expected]
    if path == Path("README.md"):
        assert "torch.Size([32, 512]) torch.Size([32, 512])" in said
        assert "28,753,472" in said


def test_what_installs_is_run_by_ci():
    ci = ROOT / ".ci" / "run"
    if not ci.is_file():
        pytest.skip("not in a source distribution")
    text = ci.read_text(encoding="utf-8")
    for path in DOCUMENTS:
        if path in AS_A_WHOLE or any(each.sets_up for each in documents.blocks(ROOT / path)):
            assert f"run.py {path}" in text or f"(block {path}" in text, path


def test_links_lead_somewhere():
    for path in DOCUMENTS:
        text = (ROOT / path).read_text(encoding="utf-8")
        for target in documents.links(text):
            assert (ROOT / path.parent / target).exists(), f"{path}: {target}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```sh\nexit 3\n```", "x.md:1: exit status 3"),
        (
            "\n```console\n$ echo one two\none three\n```",
            "x.md:2: 'echo one two' prints\none two\nand",
        ),
        ("```\nls\n```", "x.md:1: what is a block of kind ''?"),
    ],
)
def test_a_block_that_does_not_hold_is_an_error(tmp_path, text, said):
    (tmp_path / "x.md").write_text(text)
    with pytest.raises(SystemExit) as raised:
        documents.run(tmp_path / "x.md", tmp_path)
    assert said in str(raised.value)


def test_blocks_of_files_and_shells_work_together(tmp_path):
    text = "```toml file=a/b.toml\nx = 1\n```\n```console\n$ cat a/b.toml\nx = …\n```\n"
    text += "```sh set-up\nexit 1\n```\n```python\nprint(6 * 7)\n```\n"
    (tmp_path / "x.md").write_text(text)
    seconds, said = documents.run(tmp_path / "x.md", tmp_path)
    assert (list(seconds), said) == (["x.md:1", "x.md:4", "x.md:11"], "42\n")
    shutil.rmtree(tmp_path / "a")
