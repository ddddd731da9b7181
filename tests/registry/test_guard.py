"""A hook module imports under guard; other threads, and a second listing, are none the worse."""

import subprocess
import sys
import threading

import pytest

from zoo.errors import RegistryError
from zoo.registry import catalog
from zoo.registry.guard import guarded

SOUND = "from zoo import hookimpl\n@hookimpl\ndef zoo_losses(): return []\n"


def install_hooks(install, code: str) -> None:
    install("zoo-guest", {"zoo.plugins": {"hooks": "guest_hooks"}}, {"guest_hooks.py": code})


def test_torch_stays_out_of_listings(install):
    site = install(
        "zoo-heavy",
        {"zoo.plugins": {"hooks": "heavy_hooks"}},
        {"heavy_hooks.py": f"{SOUND}try:\n    import torch\nexcept ImportError:\n    torch = None"},
    )
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "from zoo.registry import catalog, load_catalog\n"
        "print([f.reason for f in catalog().failures if f.origin.name == 'zoo-heavy'])\n"
        "print([f.reason for f in load_catalog().failures if f.origin.name == 'zoo-heavy'])\n"
        "print(sorted({'torch', 'timm', 'transformers', 'torchvision'} & set(sys.modules)))"
    )
    first, again, heavy = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "the hook module imports 'torch', which makes every listing slow" in first
    assert again == first
    assert heavy == "[]"


def test_another_thread_may_import_torch_meanwhile(monkeypatch):
    import torch

    monkeypatch.delitem(sys.modules, "torch")
    spec = []

    def find() -> None:
        from importlib.util import find_spec

        spec.append(find_spec("torch"))

    def call() -> None:
        thread = threading.Thread(target=find)
        thread.start()
        thread.join()

    guarded("mine", 5, call)
    assert spec[0].origin == torch.__spec__.origin


def test_a_failure_is_the_same_the_second_time(install):
    install_hooks(install, f"{SOUND}print('hello')")
    reasons = []
    for _ in range(2):
        catalog.cache_clear()
        reasons += [failure.reason for failure in catalog().failures]
    assert len(reasons) == 2
    assert reasons[0] == reasons[1]
    assert "guest_hooks" not in sys.modules


def test_a_search_path_of_its_own_stays_if_it_works(install):
    install_hooks(install, f"{SOUND}import sys\nsys.path.insert(0, '/guest')")
    before = list(sys.path)
    try:
        assert catalog().failures == ()
        assert sys.path == ["/guest", *before]
    finally:
        sys.path[:] = before


@pytest.mark.parametrize("change", ["sys.path = None", "sys.path.clear()", "sys.meta_path = []"])
def test_what_everybody_needs_is_put_back(install, change):
    install_hooks(install, f"{SOUND}import sys\n{change}")
    before = sys.path, list(sys.path), sys.meta_path, list(sys.meta_path)
    catalog()
    assert (sys.path, list(sys.path), sys.meta_path, list(sys.meta_path)) == before


def test_a_finder_that_another_package_brings_may_stay():
    class Lazy:
        __module__ = "six"

        def find_spec(self, *_): ...

    lazy = Lazy()
    guarded("guest", 5, lambda: sys.meta_path.append(lazy))
    assert sys.meta_path.pop() is lazy
    Lazy.__module__ = "guest.parts"
    with pytest.raises(RegistryError, match=r"puts an import finder of its own on sys\.meta_path"):
        guarded("guest.hooks", 5, lambda: sys.meta_path.append(lazy))
    assert lazy not in sys.meta_path
