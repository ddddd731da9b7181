"""Every test runs offline, in caches of its own, and without the plugins of the machine it runs on."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_HOME = Path(tempfile.mkdtemp(prefix="zoo-tests-"))
# Read once, when the libraries are first imported.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // int(workers), 1)))
os.environ["HF_HOME"] = str(_HOME / "huggingface")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["ZOO_PLUGINS"] = ""
os.environ["TORCH_HOME"] = str(_HOME / "torch")
os.environ["ZOO_DATA"] = str(_HOME / "data")
_PINNED = _HOME / "pinned"
"""The data folder that every test starts with: stand-ins under the true names are pinned there."""


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    from zoo.registry.catalog import _session, catalog

    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "zoo-cache"))
    data = tempfile.mkdtemp(prefix="data-", dir=_HOME)
    monkeypatch.setenv("ZOO_DATA", data)
    if _PINNED.is_dir():
        shutil.copytree(_PINNED, data, dirs_exist_ok=True)
    monkeypatch.setenv("ZOO_PLUGINS", "")
    monkeypatch.delenv("ZOO_REGISTRY", raising=False)
    monkeypatch.delenv("ZOO_STRICT", raising=False)
    monkeypatch.chdir(tmp_path)
    catalog.cache_clear()
    yield
    _session.clear()
    catalog.cache_clear()


@pytest.fixture
def user_registry(tmp_path: Path) -> Callable[[str], Path]:
    """Writes `zoo.toml` in the working folder."""
    from zoo.registry import catalog

    def write(text: str) -> Path:
        path = tmp_path / "zoo.toml"
        path.write_text(text)
        catalog.cache_clear()
        return path

    return write


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts a hand-written distribution on the path: metadata, entry points and modules."""
    from zoo.registry import catalog

    monkeypatch.delenv("ZOO_PLUGINS")

    def write(
        name: str,
        entry_points: dict[str, dict[str, str]],
        files: dict[str, str] | None = None,
        version: str = "1.0",
        requires: tuple[str, ...] = (),
    ) -> Path:
        site = tmp_path / "site" / name
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        metadata = [f"Name: {name}", f"Version: {version}"]
        metadata += [f"Requires-Dist: {each}" for each in requires]
        (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *metadata, ""]))
        sections = [
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
            for group, entries in entry_points.items()
        ]
        (info / "entry_points.txt").write_text("\n".join(sections))
        for file, text in (files or {}).items():
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            (site / file).write_text(text)
        monkeypatch.syspath_prepend(site)
        catalog.cache_clear()
        return site

    return write


@pytest.fixture(scope="session")
def clip_in_hub_cache() -> Path:
    """`openai/clip-vit-base-patch32` as the hub lays it out, with seeded weights at full size."""
    from standins import clip_repository, pin

    folder = clip_repository(Path(os.environ["HF_HOME"], "hub"))
    pin(folder, _PINNED)
    shutil.copytree(_PINNED, _HOME / "data", dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def minilm_in_hub_cache() -> Path:
    """`sentence-transformers/all-MiniLM-L6-v2` as the hub lays it out, with seeded weights."""
    from standins import minilm_repository

    return minilm_repository(Path(os.environ["HF_HOME"], "hub"))


@pytest.fixture(scope="session")
def resnet50_in_torch_hub() -> Path:
    """`resnet50-11ad3fa6.pth` in torch hub's cache, with seeded weights."""
    from standins import resnet50_checkpoint

    return resnet50_checkpoint(Path(os.environ["TORCH_HOME"], "hub", "checkpoints"))


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Twelve small pictures of one colour each."""
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    paths = []
    for number in range(12):
        path = folder / f"{number}.png"
        Image.new("RGB", (40, 32), (20 * number, 255 - 20 * number, 128)).save(path)
        paths.append(path)
    return paths
